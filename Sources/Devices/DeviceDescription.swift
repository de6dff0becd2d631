internal import CMartletDevices

/// A device as its driver describes it.
package struct DeviceDescription: Sendable, Equatable {
    /// Its place among the devices of all drivers.
    package var number: Int
    package var name: String
    package var driver: String
    package var vulkanVersion: String
    /// The processor plays the device.
    package var isSoftware: Bool
    /// Its memory is the host's.
    package var sharesMemory: Bool
    package var hasCopyQueue: Bool
    package var byteCount: Int
    /// Bytes that nobody has, as the driver estimates; nil if it does not say.
    package var freeByteCount: Int?
    package var largestAllocation: Int
    package var subgroupSize: Int
    /// Matrix instructions of 16 by 16 by 16 in bf16, and of 8 by 8 by 8 in half floats.
    package var hasBF16Tiles: Bool
    package var hasHalfTiles: Bool
    /// Why kernels cannot run on it.
    package var refusal: String?

    /// What `--gpu` calls it.
    package var identifier: String { "vulkan:\(number)" }

    /// The number of a device by what `--gpu` calls it; nil for anything else.
    package static func number(of identifier: String) -> Int? {
        guard identifier.hasPrefix("vulkan:"),
            let number = Int(identifier.dropFirst("vulkan:".count)), number >= 0
        else { return nil }
        return number
    }

    private static let most = 16

    /// The devices that there are.
    ///
    /// - Throws: `DeviceError` with `noDriver` when there is no driver that works.
    package static func all() throws(DeviceError) -> [DeviceDescription] {
        var error = cmd_error()
        var found = Array(repeating: cmd_description(), count: most)
        let count = unsafe cmd_list(&found, found.count, &error)
        guard count > 0 else { throw DeviceError(error) }
        return found.prefix(count).enumerated().map { DeviceDescription(number: $0, $1) }
    }

    private init(number: Int, _ found: cmd_description) {
        self.number = number
        name = text(found.name)
        driver = text(found.driver)
        vulkanVersion = "\(found.vulkan_major).\(found.vulkan_minor)"
        isSoftware = found.is_software
        sharesMemory = found.shares_memory
        hasCopyQueue = found.has_copy_queue
        byteCount = Int(clamping: found.memory)
        freeByteCount = found.tells_free_memory ? Int(clamping: found.free_memory) : nil
        largestAllocation = Int(clamping: found.largest_allocation)
        subgroupSize = Int(found.subgroup)
        hasBF16Tiles = found.has_bf16_tiles
        hasHalfTiles = found.has_half_tiles
        let why = text(found.refusal)
        refusal = why.isEmpty ? nil : why
    }
}
