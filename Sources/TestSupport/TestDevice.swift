package import Devices

/// The device that tests run on: the first that kernels can run on.
package enum TestDevice {
    private static let number: Int? =
        (try? DeviceDescription.all())?.first { $0.refusal == nil }?.number

    package static var isThere: Bool { number != nil }

    package static func open() throws(DeviceError) -> Device { try Device(number: number ?? 0) }
}
