internal import Glibc

/// Pages of memory with one behind them that nobody may touch, full of bits that are no number. A kernel that reads or
/// writes on ends the process, on a device that the processor plays.
@safe final class GuardedPages {
    // Safety: the pages are the object's alone.
    let start: UnsafeMutableRawPointer
    let byteCount: Int

    private static let page = 4096

    /// - Returns: nil when there is no memory.
    init?(_ wanted: Int) {
        byteCount = (wanted + GuardedPages.page - 1) / GuardedPages.page * GuardedPages.page
        let pages = unsafe mmap(
            nil, byteCount + GuardedPages.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
            -1, 0)
        guard let pages = unsafe pages, unsafe pages != MAP_FAILED else { return nil }
        unsafe start = pages
        unsafe mprotect(pages + byteCount, GuardedPages.page, PROT_NONE)
        unsafe memset(pages, 0xff, byteCount)
    }

    deinit { unsafe munmap(start, byteCount + GuardedPages.page) }
}
