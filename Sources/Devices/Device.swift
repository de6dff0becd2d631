package import CMartletDevices

/// An open device: its memory, its kernels and its queues.
///
/// Not thread-safe: one owner at a time uses it and what came from it, but for the queue of copies, which is
/// `DeviceUpload`'s.
@safe package final class Device: @unchecked Sendable {
    // Safety: the handle lives as long as the object, and everything made with it holds the object. What changes is
    // the owner's alone.
    let handle: OpaquePointer
    package private(set) var description: DeviceDescription
    /// Every piece of memory ends where nobody may go on, and begins as no numbers: for tests.
    let guardsMemory: Bool
    /// The last of the steps.
    private var submitted: UInt64 = 0

    /// How long a piece of work may take before the device counts as hanging.
    private static let patienceInNanoseconds: UInt64 = 60 * 1_000_000_000

    /// - Parameters:
    ///   - guardsMemory: for tests of kernels, on a device that the processor plays.
    package init(
        _ identifier: DeviceIdentifier, guardsMemory: Bool = false
    ) throws(DeviceError) {
        self.guardsMemory = guardsMemory
        let descriptions = try DeviceDescription.all(identifier.api)
        guard let found = descriptions.first(where: { $0.identifier == identifier }) else {
            throw DeviceError(
                .noDevice,
                "there is no device \(identifier); martlet devices lists those there are")
        }
        description = found
        var error = cmd_error()
        guard let handle = unsafe cmd_open(identifier.api.code, identifier.number, &error) else {
            throw DeviceError(error)
        }
        unsafe self.handle = handle
        var free: UInt64 = 0
        if unsafe cmd_free_memory(handle, &free) { description.freeByteCount = Int(clamping: free) }
    }

    deinit { unsafe cmd_close(handle) }

    /// Makes kernels ready, so that no step waits for a compiler.
    package func prepare(_ kernels: [cmd_kernel], _ element: DeviceElement) throws(DeviceError) {
        for kernel in kernels {
            try attempt { error in
                unsafe cmd_prepare(handle, kernel, element.index, &error)
            }
        }
    }

    /// Records a step and hands it to the device, which goes on with it after what came before.
    package func submit(
        _ record: (Recorder) throws(DeviceError) -> Void
    ) throws(DeviceError) {
        submitted = try submit(to: CMD_STEPS, record)
    }

    /// Waits until all steps that were submitted are done.
    package func wait() throws(DeviceError) { try wait(for: submitted, of: CMD_STEPS) }

    /// - Returns: the work's number, for `wait`.
    func submit(
        to queue: cmd_queue, _ record: (Recorder) throws(DeviceError) -> Void
    ) throws(DeviceError) -> UInt64 {
        try attempt { error in
            unsafe cmd_begin(handle, queue, Device.patienceInNanoseconds, &error)
        }
        try record(Recorder(device: self, queue: queue))
        var error = cmd_error()
        let work = unsafe cmd_submit(handle, queue, &error)
        guard work > 0 else { throw DeviceError(error) }
        return work
    }

    /// Waits until a piece of work is done, and everything before it on its queue.
    func wait(for work: UInt64, of queue: cmd_queue) throws(DeviceError) {
        guard work > 0 else { return }
        try attempt { error in
            unsafe cmd_wait(handle, queue, work, Device.patienceInNanoseconds, &error)
        }
    }

    func attempt(_ call: (inout cmd_error) -> Bool) throws(DeviceError) {
        var error = cmd_error()
        guard call(&error) else { throw DeviceError(error) }
    }
}

/// What kernels multiply: the other half of a kernel's name.
package enum DeviceElement: Sendable {
    case f32, bf16

    var index: UInt32 { self == .f32 ? 0 : 1 }

    /// Numbers in a 32-bit word.
    package var perWord: Int { self == .f32 ? 1 : 2 }

    /// Words of a row of so many numbers.
    package func words(_ count: Int) -> Int { (count + perWord - 1) / perWord }
}

/// Takes down what a device is to do.
package struct Recorder {
    let device: Device
    let queue: cmd_queue

    /// Runs a kernel that was prepared, in a step.
    ///
    /// - Parameters:
    ///   - arguments: the kernel's block (kernel_arguments.h). Addresses in it are of memory that lives until
    ///     the work is done, and large enough for what the sizes in it say.
    ///   - grid: groups in each direction; none is empty.
    package func dispatch<Arguments: BitwiseCopyable>(
        _ kernel: cmd_kernel, _ element: DeviceElement, _ arguments: Arguments,
        grid: (x: Int, y: Int, z: Int)
    ) {
        precondition(
            grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.y < 65536 && grid.z < 65536,
            "Not a grid of groups.")
        unsafe withUnsafeBytes(of: arguments) { bytes in
            unsafe cmd_dispatch(
                device.handle, kernel, element.index, bytes.baseAddress, bytes.count,
                UInt32(grid.x), UInt32(grid.y), UInt32(grid.z))
        }
    }

    /// What comes after sees what came before.
    package func barrier() { unsafe cmd_barrier(device.handle, queue) }

    package func copy(
        _ byteCount: Int, from source: DeviceBuffer, at sourceOffset: Int = 0,
        to target: DeviceBuffer, at targetOffset: Int = 0
    ) {
        source.check(sourceOffset..<sourceOffset + byteCount)
        target.check(targetOffset..<targetOffset + byteCount)
        unsafe cmd_copy(
            device.handle, queue, &source.memory, UInt64(source.origin + sourceOffset),
            &target.memory,
            UInt64(target.origin + targetOffset), UInt64(byteCount))
    }

    /// Fills memory with a word, in a step.
    package func fill(_ memory: DeviceBuffer, with word: UInt32 = 0) {
        unsafe cmd_fill(
            device.handle, &memory.memory, UInt64(memory.origin), UInt64(memory.byteCount / 4 * 4),
            word)
    }
}
