package import Devices

/// The device that tests run on: the first that kernels can run on. On one that the processor plays every piece of memory ends
/// at a page that nobody may touch, and begins as NaN.
package enum TestDevice {
    private static let description: DeviceDescription? =
        (try? DeviceDescription.all())?.first { $0.refusal == nil }

    package static var isThere: Bool { description != nil }

    package static func open(guardsMemory: Bool = true) throws(DeviceError) -> Device {
        try Device(
            number: description?.number ?? 0,
            guardsMemory: guardsMemory && description?.isSoftware == true)
    }
}
