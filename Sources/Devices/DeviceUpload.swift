internal import CMartletDevices
internal import Foundation

/// Brings bytes of the host onto a device beside its steps, through two pieces of memory that both reach: one is filled
/// while the other is copied. What is begun is done by a thread of its own; steps go on meanwhile.
package final class DeviceUpload: Sendable {
    private let lane: UploadLane
    private let queue: UploadQueue

    /// - Parameter byteCount: of each piece.
    package init(_ device: Device, byteCount: Int = 16 << 20) throws(DeviceError) {
        lane = try UploadLane(device, byteCount: byteCount)
        queue = UploadQueue()
        let thread = Thread { [queue] in queue.work() }
        thread.name = "martlet.upload"
        thread.start()
    }

    deinit { stop() }

    /// Waits until what was begun is done, and ends the thread: nothing can be begun afterwards.
    package func stop() { queue.stop() }

    /// Copies bytes to a place. Steps that are submitted later see them.
    ///
    /// - Precondition: no step that has not been waited for reaches the place.
    package func copy(_ bytes: RawSpan, to memory: DeviceBuffer, at offset: Int) throws(DeviceError)
    {
        try lane.alone { () throws(DeviceError) in
            try lane.copy(bytes, to: memory, at: offset)
            try lane.finish()
        }
    }

    package func copy<Element: BitwiseCopyable>(
        _ values: [Element], to memory: DeviceBuffer, at offset: Int = 0
    ) throws(DeviceError) {
        try copy(unsafe values.span.bytes, to: memory, at: offset)
    }

    package func copy(_ bytes: RawSpan, to place: DevicePlace) throws(DeviceError) {
        precondition(bytes.byteCount <= place.byteCount, "It does not fit the place.")
        try copy(bytes, to: place.memory, at: place.offset)
    }

    /// Begins an upload, after those that were begun before.
    ///
    /// - Parameter write: is called by the upload's thread. What it reads must stay, and places that it writes
    ///   must be those of nobody else until the upload is done.
    package func begin(
        _ write: @escaping @Sendable (UploadLane) throws(DeviceError) -> Void
    ) -> Upload {
        let upload = Upload(write)
        queue.add(upload, on: lane)
        return upload
    }
}

/// Bytes on their way onto a device.
package final class Upload: @unchecked Sendable {
    // Safety: what changes is touched only while `condition` is locked.
    private let condition = NSCondition()
    private var result: Result<Duration, DeviceError>?
    private var write: (@Sendable (UploadLane) throws(DeviceError) -> Void)?
    private let fault = DeviceFault.Share.ofThisThread()

    fileprivate init(_ write: @escaping @Sendable (UploadLane) throws(DeviceError) -> Void) {
        self.write = write
    }

    /// How long it took, or nil while it is on its way. Steps that are submitted from now on see the bytes.
    package func duration() throws(DeviceError) -> Duration? {
        condition.lock()
        defer { condition.unlock() }
        return try result?.get()
    }

    /// Waits until the bytes are there.
    @discardableResult package func wait() throws(DeviceError) -> Duration {
        condition.lock()
        defer { condition.unlock() }
        while true {
            if let result { return try result.get() }
            condition.wait()
        }
    }

    fileprivate func run(on lane: UploadLane) {
        fault.adopt()
        defer { DeviceFault.Share.drop() }
        let start = ContinuousClock.now
        let outcome = Result { () throws(DeviceError) in
            try lane.alone { () throws(DeviceError) in
                try write?(lane)
                try lane.finish()
            }
            return ContinuousClock.now - start
        }
        condition.lock()
        write = nil
        result = outcome
        condition.broadcast()
        condition.unlock()
    }
}

/// The way onto a device, which one upload has at a time.
package final class UploadLane: @unchecked Sendable {
    // Safety: whoever copies holds `lock`.
    private let lock = NSLock()
    private let device: Device
    private let halves: [DeviceBuffer]
    private var works: [UInt64] = [0, 0]
    private var next = 0

    fileprivate init(_ device: Device, byteCount: Int) throws(DeviceError) {
        self.device = device
        halves = [
            try DeviceBuffer(byteCount, on: .host, of: device),
            try DeviceBuffer(byteCount, on: .host, of: device),
        ]
    }

    fileprivate func alone(_ body: () throws(DeviceError) -> Void) throws(DeviceError) {
        lock.lock()
        defer { lock.unlock() }
        try body()
    }

    package func copy(_ bytes: RawSpan, to memory: DeviceBuffer, at offset: Int) throws(DeviceError)
    {
        var done = 0
        while done < bytes.byteCount {
            let half = halves[next]
            try device.wait(for: works[next], of: CMD_COPIES)
            let count = min(half.byteCount, bytes.byteCount - done)
            half.write(bytes.extracting(done..<done + count))
            works[next] = try device.submit(to: CMD_COPIES) { recorder in
                recorder.copy(count, from: half, at: 0, to: memory, at: offset + done)
                recorder.barrier()
            }
            next = 1 - next
            done += count
        }
    }

    package func copy<Element: BitwiseCopyable>(
        _ values: [Element], to memory: DeviceBuffer, at offset: Int
    ) throws(DeviceError) {
        try copy(unsafe values.span.bytes, to: memory, at: offset)
    }

    /// Waits until everything is there.
    fileprivate func finish() throws(DeviceError) {
        try device.wait(for: works.max() ?? 0, of: CMD_COPIES)
    }
}

/// Uploads that have been begun, and the thread that does them.
private final class UploadQueue: @unchecked Sendable {
    // Safety: what changes is touched only while `condition` is locked.
    private let condition = NSCondition()
    private var waiting: [(Upload, UploadLane)] = []
    private var isStopping = false
    private var hasStopped = false

    func add(_ upload: Upload, on lane: UploadLane) {
        condition.lock()
        precondition(!isStopping, "Uploads have ended.")
        waiting.append((upload, lane))
        condition.broadcast()
        condition.unlock()
    }

    func stop() {
        condition.lock()
        defer { condition.unlock() }
        isStopping = true
        condition.broadcast()
        while !hasStopped { condition.wait() }
    }

    func work() {
        while runNext() {}
        condition.lock()
        hasStopped = true
        condition.broadcast()
        condition.unlock()
    }

    /// Nothing of the device is the thread's when it has returned.
    private func runNext() -> Bool {
        guard let (upload, lane) = next() else { return false }
        upload.run(on: lane)
        return true
    }

    private func next() -> (Upload, UploadLane)? {
        condition.lock()
        defer { condition.unlock() }
        while waiting.isEmpty {
            if isStopping { return nil }
            condition.wait()
        }
        return waiting.removeFirst()
    }
}
