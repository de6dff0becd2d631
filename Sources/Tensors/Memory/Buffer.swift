internal import CMartletKernels
internal import Glibc

/// Fixed-size memory for numbers: 64-byte aligned, zeroed, never moved, freed with its last owner.
///
/// The kernels' threads write disjoint parts of one buffer at the same time, which Swift's
/// exclusivity rules cannot express; every other module reaches the memory through the checked
/// methods of `Matrix`, `Activations`, `PackedMatrix` and `KeyValueCache`.
///
/// Large buffers take no physical memory until they are written.
@safe package final class Buffer: @unchecked Sendable {
    // Safety: `base` is constant and the memory lives as long as the object. Who may write which
    // part when is the contract of the types that share the buffer.
    let base: UnsafeMutableRawPointer
    private let allocation: UnsafeMutableRawPointer
    package let byteCount: Int

    /// - Precondition: `byteCount` is not negative. Sizes that come from outside are checked
    ///   against a limit before they get here.
    package init(byteCount: Int) {
        precondition(byteCount >= 0, "A buffer cannot have a negative size.")
        guard let allocation = unsafe calloc(byteCount + Buffer.alignment, 1) else {
            preconditionFailure("Out of memory: \(byteCount) bytes.")
        }
        let address = UInt(bitPattern: allocation)
        let padding = Int(address.roundedUp(toMultipleOf: UInt(Buffer.alignment)) - address)
        unsafe self.allocation = allocation
        unsafe self.base = allocation + padding
        self.byteCount = byteCount
    }

    deinit { unsafe free(allocation) }

    package static let alignment = 64

    /// Lends a part of the memory, to be copied to a device.
    package func withBytes<Result, Failure: Error>(
        _ range: Range<Int>, _ body: (RawSpan) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= byteCount, "Outside the buffer.")
        let bytes = unsafe UnsafeRawBufferPointer(
            start: base + range.lowerBound, count: range.count)
        return try body(unsafe bytes.bytes)
    }

    func floats(at index: Int = 0) -> UnsafeMutablePointer<Float> {
        unsafe base.assumingMemoryBound(to: Float.self) + index
    }
}

extension FixedWidthInteger {
    /// - Precondition: the result is representable.
    package func roundedUp(toMultipleOf multiple: Self) -> Self {
        dividedUp(by: multiple) * multiple
    }

    /// - Precondition: the result is representable.
    func dividedUp(by divisor: Self) -> Self { (self + divisor - 1) / divisor }
}
