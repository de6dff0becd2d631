internal import CMartletDevices
package import Devices

/// How base products are computed on a device: one form for all row counts, so that a row's bits never depend on how many
/// rows there are.
package enum ProductForm: String, Sendable, CaseIterable {
    /// One thread an output, in the order of the CPU's scalar kernels: the specification.
    case scalar
    /// Tiles in shared memory without matrix instructions: what proves tiles everywhere, and no faster.
    case sharedTiles
    /// Matrix instructions in half floats, beyond whose range activations may be: for tests.
    case halfTiles
    /// Matrix instructions in bf16.
    case bf16Tiles

    /// The fastest that is exact.
    package static func best(_ device: DeviceDescription, _ element: DeviceElement) -> ProductForm {
        element == .bf16 && device.hasBF16Tiles ? .bf16Tiles : .scalar
    }

    package func isThere(on device: DeviceDescription, _ element: DeviceElement) -> Bool {
        switch self {
        case .scalar: true
        case .sharedTiles: element == .bf16
        case .halfTiles: element == .bf16 && device.hasHalfTiles
        case .bf16Tiles: element == .bf16 && device.hasBF16Tiles
        }
    }

    var kernel: cmd_kernel {
        switch self {
        case .scalar: CMD_PRODUCT
        case .sharedTiles: CMD_PRODUCT_TILE_SHARED
        case .halfTiles: CMD_PRODUCT_TILE_HALF
        case .bf16Tiles: CMD_PRODUCT_TILE_BF16
        }
    }

    /// Rows of a group.
    var rowCount: Int {
        switch self {
        case .scalar: 4
        case .sharedTiles, .bf16Tiles: 64
        case .halfTiles: 32
        }
    }

    /// Of all forms.
    static let kernels = allCases.map(\.kernel)
}
