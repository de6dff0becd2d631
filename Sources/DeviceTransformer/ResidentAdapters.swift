internal import Adapters
internal import Devices

/// The adapters on a device. Who may stay is the engine's decision; where there is none, those that were not
/// used for longest give way when pages are short.
struct ResidentAdapters {
    private let pool: DevicePool
    private let element: DeviceElement
    private let upload: DeviceUpload
    private let tableByteCount: Int
    private var residents: [AdapterDigest: ResidentAdapter] = [:]
    private var step = 0

    init(
        pool: DevicePool, element: DeviceElement, upload: DeviceUpload, tableByteCount: Int
    ) {
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
        for id in resident.pageIDs { pool.give(id) }
    }

    /// Brings a step's adapters onto the device where they are not there.
    ///
    /// - Returns: one for which there are not enough pages side by side, beside what the step holds.
    mutating func bring(_ adapters: [DeviceAdapter]) throws(DeviceError) -> AdapterDigest? {
        step += 1
        for adapter in adapters { residents[adapter.digest]?.lastStep = step }
        for adapter in adapters where residents[adapter.digest] == nil {
            let start = ContinuousClock.now
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
            let resident = try ResidentAdapter(
                adapter, parts: parts, pages: pages, of: pool, element: element, upload: upload)
            resident.lastStep = step
            residents[adapter.digest] = resident
            uploadCount += 1
            uploadByteCount += adapter.byteCount
            uploadDuration += .now - start
        }
        return nil
    }

    /// Pages side by side; adapters that the step does not use give way.
    ///
    /// - Returns: nil when there are too few all the same.
    mutating func take(_ count: Int) throws(DeviceError) -> PagePool.ID? {
        while true {
            if let id = try pool.take(count) { return id }
            let idle = residents.filter { $0.value.lastStep < step }
            guard let oldest = idle.min(by: { $0.value.lastStep < $1.value.lastStep }) else {
                return nil
            }
            remove(oldest.key)
        }
    }

    /// After everything of a step has its pages: tables say where things have moved.
    func settle(_ adapters: [DeviceAdapter]) throws(DeviceError) {
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
