internal import CMartletDevices
package import Devices
internal import PlayedCUDA

/// The devices that tests run on.
package enum TestDevice: String, Sendable {
    /// The first that Vulkan finds and kernels can run on. On one that the processor plays every piece of memory ends at a
    /// page that nobody may touch, and begins as NaN.
    case vulkan
    /// A CUDA driver that the processor plays: it runs the kernels' PTX and ends the device with an error for every access
    /// outside of memory, every race, and everything that is read before it is written.
    case cuda

    private static let found: DeviceDescription? =
        (try? DeviceDescription.all(.vulkan))?.first { $0.refusal == nil }

    /// Whether there is one that Vulkan finds.
    package static var isThere: Bool { found != nil }

    package static let all: [TestDevice] = (isThere ? [.vulkan] : []) + [.cuda]

    private static let playsCUDA: Void = unsafe cmd_use_cuda(played_cuda_find)

    package func open(guardsMemory: Bool = true) throws(DeviceError) -> Device {
        switch self {
        case .vulkan:
            try Device(
                TestDevice.found?.identifier ?? DeviceIdentifier(.vulkan, 0),
                guardsMemory: guardsMemory && TestDevice.found?.isSoftware == true)
        case .cuda:
            try TestDevice.playedCard()
        }
    }

    private static func playedCard() throws(DeviceError) -> Device {
        playsCUDA
        return try Device(DeviceIdentifier(.cuda, 0))
    }

    /// What a played driver has found wrong, in words.
    package static var fault: String? {
        unsafe played_cuda_fault().map { unsafe String(cString: $0) }
    }
}
