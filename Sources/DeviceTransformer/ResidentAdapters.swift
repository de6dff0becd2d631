internal import Adapters
internal import Devices

/// The adapters on a device. Who may stay is the engine's decision; where there is none, those that were not
/// used for longest give way when pages are short.
struct ResidentAdapters {
    private let device: Device
    private let pool: DevicePool
    private let element: DeviceElement
    private let upload: DeviceUpload
    private let tableByteCount: Int
    private var residents: [AdapterDigest: ResidentAdapter] = [:]
    /// Those of them that are on their way.
    private var coming: Set<AdapterDigest> = []
    private var step = 0

    init(
        _ device: Device, pool: DevicePool, element: DeviceElement, upload: DeviceUpload,
        tableByteCount: Int
    ) {
        self.device = device
        self.pool = pool
        self.element = element
        self.upload = upload
        self.tableByteCount = tableByteCount
    }

    /// So far.
    private(set) var uploadCount = 0
    private(set) var uploadByteCount = 0
    private(set) var uploadDuration = Duration.zero

    mutating func keep(_ digests: Set<AdapterDigest>) {
        for digest in residents.keys where !digests.contains(digest) { remove(digest) }
    }

    private mutating func remove(_ digest: AdapterDigest) {
        guard let resident = residents.removeValue(forKey: digest) else { return }
        // Nobody else may have its pages while it is on its way. What became of it is no matter.
        if coming.remove(digest) != nil { try? resident.waitForUpload() }
        for id in resident.pageIDs { pool.give(id) }
    }

    /// Those that are on their way.
    mutating func onTheirWay() throws(DeviceError) -> Set<AdapterDigest> {
        for digest in coming {
            guard let duration = try residents[digest]?.uploadDuration() else { continue }
            uploadDuration += duration
            coming.remove(digest)
        }
        return coming
    }

    /// Waits until all are there.
    mutating func waitForAll() throws(DeviceError) {
        for digest in coming { try residents[digest]?.waitForUpload() }
        _ = try onTheirWay()
    }

    /// Waits until one more is there.
    mutating func waitForOne() throws(DeviceError) {
        // They come one after another.
        guard let first = coming.compactMap({ residents[$0] }).min(by: { $0.number < $1.number })
        else { return }
        try first.waitForUpload()
        _ = try onTheirWay()
    }

    /// Begins to bring a step's adapters onto the device where they are not there.
    ///
    /// - Returns: one for which there are not enough pages side by side, beside what the step holds.
    mutating func bring(_ adapters: [DeviceAdapter]) throws(DeviceError) -> AdapterDigest? {
        step += 1
        for adapter in adapters { residents[adapter.digest]?.lastStep = step }
        for adapter in adapters where residents[adapter.digest] == nil {
            let parts = adapter.parts(
                pageByteCount: pool.pageByteCount, tableByteCount: tableByteCount)
            var pages: [PagePool.ID] = []
            for part in parts.parts {
                guard let id = try take(part.pageCount) else {
                    for id in pages { pool.give(id) }
                    return adapter.digest
                }
                pages.append(id)
            }
            // Steps that are not done may still be at these pages, for others.
            try device.wait()
            uploadCount += 1
            uploadByteCount += adapter.byteCount
            let resident = ResidentAdapter(
                adapter, parts: parts, pages: pages, of: pool, element: element, upload: upload)
            resident.lastStep = step
            resident.number = uploadCount
            residents[adapter.digest] = resident
            coming.insert(adapter.digest)
        }
        return nil
    }

    /// Pages side by side; adapters that the step does not use give way.
    ///
    /// - Returns: nil when there are too few all the same.
    mutating func take(_ count: Int) throws(DeviceError) -> PagePool.ID? {
        while true {
            if let id = try pool.take(
                count, beforeMoving: { () throws(DeviceError) in try waitForAll() })
            {
                return id
            }
            let idle = residents.filter { $0.value.lastStep < step }
            guard let oldest = idle.min(by: { $0.value.lastStep < $1.value.lastStep }) else {
                return nil
            }
            remove(oldest.key)
        }
    }

    /// After everything of a step has its pages: tables say where things have moved.
    func settle(_ adapters: [DeviceAdapter]) throws(DeviceError) {
        // What moves is at its place before tables say so.
        try device.wait()
        for adapter in adapters { try self[adapter].settle(upload) }
    }

    /// - Precondition: it was brought for this step.
    subscript(adapter: DeviceAdapter) -> ResidentAdapter {
        guard let resident = residents[adapter.digest] else {
            preconditionFailure("The adapter is not on the device.")
        }
        return resident
    }
}
