internal import CMartletDevices

/// Why something on a device did not work.
package struct DeviceError: Error, CustomStringConvertible, Equatable {
    package enum Code: String, Sendable {
        /// No Vulkan library, or no driver that works.
        case noDriver = "no_driver"
        case noDevice = "no_device"
        /// The device lacks something that kernels need.
        case unsupported = "unsupported_device"
        case outOfMemory = "out_of_device_memory"
        /// Nothing can be done with the device any more but to close it.
        case lost = "device_lost"
        /// The device has not answered in time.
        case timedOut = "device_timed_out"
        case failed = "device_failed"
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    init(_ error: cmd_error) {
        let code: Code =
            switch error.status {
            case CMD_NO_DRIVER: .noDriver
            case CMD_NO_DEVICE: .noDevice
            case CMD_UNSUPPORTED: .unsupported
            case CMD_OUT_OF_MEMORY: .outOfMemory
            case CMD_DEVICE_LOST: .lost
            case CMD_TIMED_OUT: .timedOut
            default: .failed
            }
        self.init(code, text(error.text))
    }

    package var description: String { "\(message) (\(code.rawValue))" }
}

/// The text in an array of a C struct.
func text<Characters>(_ characters: Characters) -> String {
    unsafe withUnsafeBytes(of: characters) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}
