internal import CMartletDevices

/// Makes a driver's call fail, for tests of what follows. Of the calling thread alone.
package struct DeviceFault {
    private let result: Int32

    package static let lost = DeviceFault(result: -4)
    package static let outOfDeviceMemory = DeviceFault(result: -2)
    package static let outOfHostMemory = DeviceFault(result: -1)
    package static let initializationFailed = DeviceFault(result: -3)

    /// Runs some code while the driver's call of this number, counted from 0, fails.
    ///
    /// - Returns: how many calls the code made.
    package func strike<Failure: Error>(
        at call: Int, _ body: () throws(Failure) -> Void
    ) throws(Failure) -> Int {
        cmd_inject(call, result)
        defer { cmd_inject(-1, 0) }
        try body()
        return cmd_call_count()
    }
}
