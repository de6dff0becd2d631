internal import CMartletDevices

/// A piece of memory that kernels reach by its address; given back with its last owner.
@safe package final class DeviceBuffer: @unchecked Sendable {
    // Safety: the memory is the object's alone, the device is held, and nothing else changes. Who writes when is its
    // users' matter.
    var memory: cmd_memory
    let device: Device

    package enum Place {
        /// The device's own: only kernels and copies reach it.
        case device
        /// The host's, which kernels and copies reach too.
        case host
    }

    package var address: UInt64 { unsafe memory.address }
    package var byteCount: Int { Int(unsafe memory.size) }

    /// - Throws: `DeviceError` with `outOfMemory` when there is not enough.
    package init(_ byteCount: Int, on place: Place, of device: Device) throws(DeviceError) {
        precondition(byteCount >= 0, "Memory cannot have a negative size.")
        self.device = device
        // Whole words for fills; drivers do not give nothing. Where pages are guarded places stay aligned.
        let multiple = device.guardsMemory ? DeviceArena.alignment : 4
        let size = max((byteCount + multiple - 1) / multiple * multiple, 256)
        var (memory, error) = unsafe (cmd_memory(), cmd_error())
        guard device.guardsMemory, device.description.identifier.api == .vulkan else {
            guard
                unsafe cmd_allocate(
                    device.handle, UInt64(size), place == .device ? CMD_ON_DEVICE : CMD_ON_HOST,
                    &memory, &error)
            else { throw DeviceError(error) }
            unsafe self.memory = memory
            return
        }
        guard let pages = GuardedPages(size) else {
            throw DeviceError(.outOfMemory, "out of memory")
        }
        guard
            unsafe cmd_import(
                device.handle, pages.start, UInt64(pages.byteCount), &memory, &error)
        else { throw DeviceError(error) }
        // The memory ends where its pages do.
        origin = pages.byteCount - size
        unsafe memory.address += UInt64(origin)
        unsafe memory.host += origin
        unsafe memory.size = UInt64(size)
        unsafe self.memory = memory
        self.pages = pages
    }

    /// Where the memory begins in what the driver knows of it.
    private(set) var origin = 0
    private var pages: GuardedPages?

    deinit { unsafe cmd_free(device.handle, &memory) }

    func check(_ range: Range<Int>) {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= byteCount, "Outside the memory.")
    }

    private func pointer(_ offset: Int, _ count: Int) -> UnsafeMutableRawPointer {
        check(offset..<offset + count)
        guard let host = unsafe memory.host else {
            preconditionFailure("The host does not reach this memory.")
        }
        return unsafe host + offset
    }

    /// Writes into the host's memory.
    package func write<Element: BitwiseCopyable>(_ values: [Element], at offset: Int = 0) {
        unsafe values.withUnsafeBytes { bytes in
            guard let source = bytes.baseAddress else { return }
            unsafe pointer(offset, bytes.count).copyMemory(from: source, byteCount: bytes.count)
        }
    }

    package func write(_ bytes: RawSpan, at offset: Int = 0) {
        unsafe bytes.withUnsafeBytes { bytes in
            guard let source = bytes.baseAddress else { return }
            unsafe pointer(offset, bytes.count).copyMemory(from: source, byteCount: bytes.count)
        }
    }

    /// Lends a part of the host's memory.
    package func withBytes<Result>(
        _ offset: Int, _ count: Int, _ body: (RawSpan) -> Result
    ) -> Result {
        body(unsafe UnsafeRawBufferPointer(start: pointer(offset, count), count: count).bytes)
    }

    /// A copy of numbers in the host's memory.
    package func read<Element: BitwiseCopyable>(
        _ type: Element.Type, count: Int, at offset: Int = 0
    ) -> [Element] {
        let size = count * MemoryLayout<Element>.stride
        let start = unsafe pointer(offset, size).assumingMemoryBound(to: Element.self)
        return unsafe Array(UnsafeBufferPointer(start: start, count: count))
    }
}
