internal import CMartletDevices

/// What a device is reached through.
package enum DeviceAPI: String, Sendable, CaseIterable {
    case vulkan, cuda

    var code: cmd_api { self == .vulkan ? CMD_VULKAN : CMD_CUDA }

    /// What its users call it.
    package var name: String { self == .vulkan ? "Vulkan" : "CUDA" }
}

/// What `--gpu` calls a device: vulkan:0.
package struct DeviceIdentifier: Sendable, Hashable, LosslessStringConvertible {
    package var api: DeviceAPI
    /// Its place among the devices that are reached so.
    package var number: Int

    package init(_ api: DeviceAPI, _ number: Int) {
        self.api = api
        self.number = number
    }

    package init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let api = DeviceAPI(rawValue: String(parts[0])),
            let number = Int(parts[1]), number >= 0
        else { return nil }
        self.init(api, number)
    }

    package var description: String { "\(api.rawValue):\(number)" }
}

/// A device as its driver describes it.
package struct DeviceDescription: Sendable, Equatable {
    package var identifier: DeviceIdentifier
    package var name: String
    package var driver: String
    /// Of Vulkan or CUDA, as the driver knows it.
    package var version: String
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

    private static let most = 16

    /// The devices that there are.
    ///
    /// - Throws: `DeviceError` with `noDriver` when there is no driver that works.
    package static func all() throws(DeviceError) -> [DeviceDescription] {
        var found: [DeviceDescription] = []
        var errors: [String] = []
        for api in DeviceAPI.allCases {
            do throws(DeviceError) {
                found += try all(api)
            } catch {
                errors.append(error.message)
            }
        }
        if found.isEmpty { throw DeviceError(.noDriver, errors.joined(separator: "; ")) }
        return found
    }

    package static func all(_ api: DeviceAPI) throws(DeviceError) -> [DeviceDescription] {
        var error = cmd_error()
        var found = Array(repeating: cmd_description(), count: most)
        let count = unsafe cmd_list(api.code, &found, found.count, &error)
        guard count > 0 else { throw DeviceError(error) }
        return found.prefix(count).enumerated().map {
            DeviceDescription(DeviceIdentifier(api, $0), $1)
        }
    }

    private init(_ identifier: DeviceIdentifier, _ found: cmd_description) {
        self.identifier = identifier
        name = text(found.name)
        driver = text(found.driver)
        version = "\(found.version_major).\(found.version_minor)"
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
