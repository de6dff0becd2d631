internal import Glibc

/// Pages of memory with one behind them that nobody may touch.
enum GuardedPages {
    private static let page = 4096

    static func map(_ byteCount: Int) -> UnsafeMutableRawPointer? {
        let pages = unsafe mmap(
            nil, byteCount + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let pages = unsafe pages, unsafe pages != MAP_FAILED else { return nil }
        unsafe mprotect(pages + byteCount, page, PROT_NONE)
        return unsafe pages
    }

    static func unmap(_ pages: UnsafeMutableRawPointer, _ byteCount: Int) {
        unsafe munmap(pages, byteCount + page)
    }
}
