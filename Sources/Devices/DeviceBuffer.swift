internal import CMartletDevices

/// A piece of memory that kernels reach by its address; given back with its last owner.
@safe package final class DeviceBuffer {
    // Safety: the memory is the object's alone, and the device is held.
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
        var (memory, error) = unsafe (cmd_memory(), cmd_error())
        // Rounded up to words, for fills; drivers do not give nothing.
        let size = UInt64(max(byteCount.roundedUp(toMultipleOfWord: 4), 256))
        guard
            unsafe cmd_allocate(
                device.handle, size, place == .device ? CMD_ON_DEVICE : CMD_ON_HOST, &memory,
                &error)
        else { throw DeviceError(error) }
        unsafe self.memory = memory
        self.device = device
    }

    /// Memory that ends where the host may not go on, so that a kernel that does ends the process: for tests
    /// on devices that the processor plays.
    package init(guarded byteCount: Int, on device: Device) throws(DeviceError) {
        let page = 4096
        let size = max(byteCount.roundedUp(toMultipleOfWord: page), page)
        guard let pages = unsafe GuardedPages.map(size) else {
            throw DeviceError(.outOfMemory, "out of memory")
        }
        var (memory, error) = unsafe (cmd_memory(), cmd_error())
        guard unsafe cmd_import(device.handle, pages, UInt64(size), &memory, &error) else {
            unsafe GuardedPages.unmap(pages, size)
            throw DeviceError(error)
        }
        unsafe self.memory = memory
        self.device = device
        guardedByteCount = size
    }

    private var guardedByteCount = 0

    deinit {
        // Kernels may still be at it.
        try? device.wait()
        let host = unsafe memory.host
        unsafe cmd_free(device.handle, &memory)
        if guardedByteCount > 0, let host = unsafe host {
            unsafe GuardedPages.unmap(host, guardedByteCount)
        }
    }

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

extension Int {
    fileprivate func roundedUp(toMultipleOfWord multiple: Int) -> Int {
        (self + multiple - 1) / multiple * multiple
    }
}
