internal import Adapters
internal import Devices

/// The adapters on a device. Who may stay is the engine's decision; where there is none, those that were not
/// used for longest give way when memory is short.
struct ResidentAdapters {
    private let device: Device
    private let element: DeviceElement
    private let upload: DeviceUpload
    private var residents: [AdapterDigest: ResidentAdapter] = [:]
    private var step = 0

    init(_ device: Device, element: DeviceElement, upload: DeviceUpload) {
        self.device = device
        self.element = element
        self.upload = upload
    }

    var count: Int { residents.count }
    var byteCount: Int { residents.values.reduce(0) { $0 + $1.byteCount } }

    mutating func keep(_ digests: Set<AdapterDigest>) {
        residents = residents.filter { digests.contains($0.key) }
    }

    /// Those of a step, brought onto the device where they are not there.
    mutating func bring(_ adapters: [DeviceAdapter]) throws(DeviceError) {
        step += 1
        for adapter in adapters { residents[adapter.digest]?.lastStep = step }
        for adapter in adapters where residents[adapter.digest] == nil {
            let resident = try bring(adapter)
            resident.lastStep = step
            residents[adapter.digest] = resident
        }
    }

    private mutating func bring(_ adapter: DeviceAdapter) throws(DeviceError) -> ResidentAdapter {
        while true {
            do throws(DeviceError) {
                return try ResidentAdapter(
                    adapter, on: device, element: element, upload: upload)
            } catch {
                let idle = residents.filter { $0.value.lastStep < step }
                guard error.code == .outOfMemory,
                    let oldest = idle.min(by: { $0.value.lastStep < $1.value.lastStep })
                else { throw error }
                residents[oldest.key] = nil
            }
        }
    }

    /// - Precondition: it was brought for this step.
    subscript(adapter: DeviceAdapter) -> ResidentAdapter {
        guard let resident = residents[adapter.digest] else {
            preconditionFailure("The adapter is not on the device.")
        }
        return resident
    }
}
