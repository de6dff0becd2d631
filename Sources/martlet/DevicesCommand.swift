import ArgumentParser
import Devices

/// What there is to run a model on.
struct DevicesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "devices",
        abstract:
            "Lists the GPUs that --device gpu can run a model on, and says why others cannot.",
        discussion: """
            GPUs are found through Vulkan (libvulkan.so.1) and CUDA (libcuda.so.1), when the command runs: neither has to \
            be installed to build Martlet. One card may be listed twice, once for each. `martlet serve --gpu cuda:0` uses \
            the first that CUDA finds.
            """)

    func run() throws {
        let devices: [DeviceDescription]
        do throws(DeviceError) {
            devices = try DeviceDescription.all()
        } catch {
            print("No GPU: \(error). The CPU is always there.")
            throw ExitCode.failure
        }
        print(DevicesCommand.table(devices))
        for device in devices {
            if let refusal = device.refusal {
                print("\(device.identifier) cannot be used: \(refusal)")
            }
        }
    }

    static func table(_ devices: [DeviceDescription]) -> String {
        var table = TextTable([
            "gpu", "name", "memory", "free", "kind", "tiles", "version", "driver",
        ])
        for device in devices {
            table.add([
                device.identifier.description, device.name, ByteCount.text(device.byteCount),
                device.freeByteCount.map { ByteCount.text($0) } ?? "-",
                device.isSoftware
                    ? "played by the CPU" : device.sharesMemory ? "integrated" : "discrete",
                device.tiles, device.version, device.driver,
            ])
        }
        return table.columns(left: ["gpu", "name", "kind", "tiles", "driver"])
    }
}

extension DeviceDescription {
    /// The matrix instructions that kernels can use.
    fileprivate var tiles: String {
        switch (hasBF16Tiles, hasHalfTiles) {
        case (true, true): "bf16, half"
        case (true, false): "bf16"
        case (false, true): "half"
        case (false, false): "-"
        }
    }
}
