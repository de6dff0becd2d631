#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

#include "backend.h"

#if defined(__GLIBC__)
#include <link.h>
#include <nss.h>

/// The first that is told is the program itself: where it names no loader, it is static.
static int find_loader(struct dl_phdr_info *program, size_t size, void *has_loader) {
    (void)size;
    for (int i = 0; i < program->dlpi_phnum; i++)
        if (program->dlpi_phdr[i].p_type == PT_INTERP) *(bool *)has_loader = true;
    return 1;
}

static bool is_static(void) {
    bool has_loader = false;
    dl_iterate_phdr(find_loader, &has_loader);
    return !has_loader;
}

void cmd_avoid_libraries(void) {
    static const char *const databases[] = {
        "passwd", "group", "services", "protocols", "networks", "netgroup", "ethers", "rpc"};
    if (!is_static()) return;
    // What /etc/nsswitch.conf adds to these is in libraries.
    __nss_configure_lookup("hosts", "files dns");
    for (size_t i = 0; i < sizeof databases / sizeof *databases; i++)
        __nss_configure_lookup(databases[i], "files");
}
#else
static bool is_static(void) { return false; }

void cmd_avoid_libraries(void) {}
#endif

void *cmd_open_library(const char *name, cmd_error *error) {
    bool can_load = !is_static();
    void *library = can_load ? dlopen(name, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (library != NULL) return library;
    error->status = CMD_NO_DRIVER;
    snprintf(
        error->text, sizeof error->text,
        can_load ? "%s is not installed" : "this program is static and cannot load %s", name);
    return NULL;
}
