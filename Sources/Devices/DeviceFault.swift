internal import CMartletDevices

/// Makes a driver's call fail, for tests of what follows. Of the calling thread, and of uploads that it begins.
package struct DeviceFault: Sendable {
    private let status: cmd_status

    package static let lost = DeviceFault(status: CMD_DEVICE_LOST)
    package static let outOfMemory = DeviceFault(status: CMD_OUT_OF_MEMORY)
    package static let failed = DeviceFault(status: CMD_FAILED)

    /// Runs some code while the driver's call of this number, counted from 0, fails.
    ///
    /// - Returns: how many calls the code made.
    package func strike<Failure: Error>(
        at call: Int, _ body: () throws(Failure) -> Void
    ) throws(Failure) -> Int {
        cmd_inject(call, status)
        var callCount = 0
        do {
            defer { callCount = cmd_adopt_injection(nil) }
            try body()
        }
        return callCount
    }

    /// What a thread's calls suffer, for another that works for it.
    @safe struct Share: @unchecked Sendable {
        // Safety: an object of C's with its own count of owners.
        private let injection: OpaquePointer?

        static func ofThisThread() -> Share { unsafe Share(injection: cmd_share_injection()) }

        func adopt() { _ = unsafe cmd_adopt_injection(injection) }
        static func drop() { _ = cmd_adopt_injection(nil) }
    }
}
