// kernel-sets NAME …: checks that this processor has just these kernel sets, best first, and that each returns the
// scalar set's bits. Without names any sets will do; with --scalar its own results are noted, and the others left out.
#include "harness.h"

static bool has_sets(int count, char **names) {
    const cmk_kernels *const *sets = cmk_available_kernels();
    int found = 0;
    while (sets[found] != NULL) found++;
    bool same = count == 0 || count == found;
    for (int i = 0; i < count && same; i++) same = strcmp(sets[i]->name, names[i]) == 0;
    if (same) return true;
    printf("FAILED: the sets here are");
    for (int i = 0; i < found; i++) printf(" %s", sets[i]->name);
    printf(", not");
    for (int i = 0; i < count; i++) printf(" %s", names[i]);
    printf("\n");
    return false;
}

int main(int argc, char **argv) {
    is_scalar_alone = argc == 2 && strcmp(argv[1], "--scalar") == 0;
    if (!is_scalar_alone && !has_sets(argc - 1, argv + 1)) return 1;
    set_at(0);
    check_products();
    check_low_rank();
    check_rows();
    check_attention();
    note_portable();
    report();
    return 0;
}
