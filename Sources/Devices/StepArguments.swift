/// What a step's kernels read of the step itself: tokens' rows, positions, tables of addresses. One piece of
/// the host's memory, filled anew for each step.
package final class StepArguments {
    private let device: Device
    private var memory: DeviceBuffer
    private var end = 0
    /// What the step has outgrown, until it is done.
    private var outgrown: [DeviceBuffer] = []

    private static let alignment = 16

    package init(_ device: Device, byteCount: Int = 1 << 20) throws(DeviceError) {
        self.device = device
        memory = try DeviceBuffer(byteCount, on: .host, of: device)
    }

    /// Begins a step, when the device is done with the last one.
    package func removeAll() {
        end = 0
        outgrown.removeAll()
    }

    /// - Returns: where kernels find the values; 0 when there are none.
    package func append<Element: BitwiseCopyable>(
        _ values: [Element]
    ) throws(DeviceError) -> UInt64 {
        guard !values.isEmpty else { return 0 }
        let byteCount = values.count * MemoryLayout<Element>.stride
        if end + byteCount > memory.byteCount {
            outgrown.append(memory)
            memory = try DeviceBuffer(
                max(2 * memory.byteCount, byteCount), on: .host, of: device)
            end = 0
        }
        memory.write(values, at: end)
        defer { end = (end + byteCount + Self.alignment - 1) / Self.alignment * Self.alignment }
        return memory.address + UInt64(end)
    }
}
