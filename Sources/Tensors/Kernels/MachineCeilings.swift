internal import CMartletKernels
internal import Glibc

/// What a machine can do at best, measured: the roof that every speed is held against.
package struct MachineCeilings: Sendable {
    package let threads: Int
    /// Bytes a second that all threads read from memory.
    package let readBandwidth: Double
    /// Operations a second of each format, a multiply-add counted as two.
    package let operations: [WeightFormat: Double]

    /// The formats that arithmetic is done in.
    package static let formats = [WeightFormat.f32, .bf16, .q8]

    /// Measures for about `seconds` in all: each ceiling several times, the best counts.
    package init(kernels: KernelSet, team: WorkerTeam, seconds: Double = 1.5) {
        threads = team.memberCount
        let share = seconds / Double(MachineCeilings.formats.count + 1)
        var operations: [WeightFormat: Double] = [:]
        for format in MachineCeilings.formats {
            operations[format] = MachineCeilings.operations(
                format, kernels: kernels, team: team, seconds: share)
        }
        self.operations = operations
        readBandwidth = MachineCeilings.bandwidth(kernels: kernels, team: team, seconds: share)
    }

    private static func operations(
        _ format: WeightFormat, kernels: KernelSet, team: WorkerTeam, seconds: Double
    ) -> Double {
        let rounds = 400_000
        let (probe, addsPerStep) =
            switch format {
            case .f32: unsafe (kernels.table.pointee.probe_f32, 1)
            case .bf16: unsafe (kernels.table.pointee.probe_bf16, 2)
            case .q8, .q4: unsafe (kernels.table.pointee.probe_q8, 4)
            }
        let perRun = rounds * CMK_PROBE_STEPS * Lanes.count * addsPerStep * 2
        return best(of: Double(perRun * team.memberCount), for: seconds) {
            team.run { _ in keep(probe?(rounds) ?? 0) }
        }
    }

    /// Beyond every cache: 192 MiB a thread.
    private static func bandwidth(kernels: KernelSet, team: WorkerTeam, seconds: Double) -> Double {
        let count = 48 << 20
        let memory = (0..<team.memberCount).map { _ in Buffer(byteCount: count * 4) }
        team.run { member in unsafe memset(memory[member].base, 1, count * 4) }
        return best(of: Double(count * 4 * team.memberCount), for: seconds) {
            team.run { member in
                keep(unsafe kernels.table.pointee.probe_read(memory[member].floats(), count))
            }
        }
    }

    /// The best rate at which `work` did its `amount`.
    private static func best(of amount: Double, for seconds: Double, _ work: () -> Void) -> Double {
        let clock = ContinuousClock()
        let start = clock.now
        var best = 0.0
        repeat {
            let time = clock.measure(work) / .seconds(1)
            best = max(best, amount / time)
        } while (clock.now - start) / .seconds(1) < seconds
        return best
    }

    /// Makes a result used, so that computing it cannot be left out.
    @inline(never) private static func keep(_ value: Float) {}
}
