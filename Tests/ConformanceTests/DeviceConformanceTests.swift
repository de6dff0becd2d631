import Conformance
import DeviceTransformer
import Devices
import StepModels
import Tensors
import TestSupport
import Testing

/// The same on a GPU, or on a driver that plays one.
@Suite(.serialized)
struct DeviceConformanceTests {
    static func onDevice(
        _ kind: TestDevice, _ activations: ComputeFormat = .f32
    ) throws -> ConformanceSuite.MakeModel {
        let device = try kind.open()
        return { weights, rowCount, blockCount in
            try DeviceModel(
                weights: weights, adapterFormat: weights.format, activations: activations,
                blockCount: blockCount,
                poolByteCount: 64 << 20, device: device, kernels: KernelSet.available[0],
                team: WorkerTeam(memberCount: 1), maximumRows: rowCount, maximumContext: 64)
        }
    }

    /// What kernels do not have is refused by name.
    @Test(arguments: TestDevice.all.prefix(1))
    func otherFamiliesAreRefused(_ device: TestDevice) throws {
        for family in ConformanceTests.families
        where !ConformanceSuite.deviceFamilies.contains(family) {
            let error = #expect(throws: DeviceError.self) {
                try ConformanceTests.run(family, Self.onDevice(device))
            }
            #expect(error?.code == .unsupported)
            // Two stand for others of their family.
            let name = ["phi4": "phi3", "qwen3moe": "qwen3_moe"][family] ?? family
            #expect(error?.message.contains(name) == true)
        }
    }

    @Test(arguments: TestDevice.all, ConformanceSuite.deviceFamilies)
    func everyAdapterInOneBatchMatchesPEFT(_ device: TestDevice, _ family: String) throws {
        try ConformanceTests.run(family, Self.onDevice(device))
    }

    @Test(arguments: TestDevice.all, ["qwen3"])
    func vectorsAreWhatPEFTsLogitsAreMadeOf(_ kind: TestDevice, _ family: String) throws {
        let device = try kind.open()
        try VectorTests.check(family) {
            try $0.deviceModel(maximumRows: 64, blockCount: 128, on: device)
        }
    }

    /// In bf16, with matrix instructions where there are some, the error is about that of the CPU's bf16.
    @Test(arguments: TestDevice.all)
    func halfTheDigitsCostWhatTheyCostTheCPU(_ device: TestDevice) throws {
        let suite = try ConformanceTests.suite("qwen3")
        let host = try suite.differences(
            format: .bf16, ConformanceTests.onCPU(KernelSet.available[0], .bf16))
        let found = try suite.differences(format: .bf16, Self.onDevice(device, .bf16))
        func meanSquare(_ differences: [(name: String, difference: Float)]) -> Float {
            differences.reduce(0) { $0 + $1.difference * $1.difference } / Float(differences.count)
        }
        #expect(meanSquare(found).squareRoot() <= 1.5 * meanSquare(host).squareRoot())
    }
}
