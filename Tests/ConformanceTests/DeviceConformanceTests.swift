import DeviceTransformer
import Devices
import StepModels
import Tensors
import TestSupport
import Testing

/// The same on a GPU, or on a driver that plays one.
@Suite(.serialized)
struct DeviceConformanceTests {
    static func onDevice(_ kind: TestDevice) throws -> ConformanceTests.MakeModel {
        let device = try kind.open()
        return { weights, rowCount, blockCount in
            try DeviceModel(
                weights: weights, adapterFormat: .f32, activations: .f32, blockCount: blockCount,
                poolByteCount: 64 << 20, device: device, kernels: KernelSet.available[0],
                team: WorkerTeam(memberCount: 1), maximumRows: rowCount, maximumContext: 64)
        }
    }

    @Test(arguments: TestDevice.all, ConformanceTests.families)
    func everyAdapterInOneBatchMatchesPEFT(_ device: TestDevice, _ family: String) throws {
        try ConformanceTests.run(family, Self.onDevice(device))
    }
}
