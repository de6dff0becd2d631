import ArgumentParser
import Foundation
import Tensors

struct BenchMachine: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "machine",
        abstract: "Measures this machine's ceilings: memory bandwidth and arithmetic.",
        discussion: "Takes about two seconds for each number of threads, from one to --threads.")

    @Option(help: "Threads at most. (default: all processors)")
    var threads: Int?

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads must be between 1 and 1024.")
        }
    }

    func run() throws {
        let kernels = try KernelSet.best()
        var table = TextTable(["threads", "read GB/s", "f32 GFLOP/s", "bf16 GFLOP/s", "int8 GOP/s"])
        for count in 1...(threads ?? WorkerTeam.defaultMemberCount) {
            let ceilings = MachineCeilings(
                kernels: kernels, team: WorkerTeam(memberCount: count))
            table.add([
                "\(count)", giga(ceilings.readBandwidth), giga(ceilings.operations[.f32] ?? 0),
                giga(ceilings.operations[.bf16] ?? 0), giga(ceilings.operations[.q8] ?? 0),
            ])
        }
        print("kernels \(kernels.name)\n\n\(table.text)")
    }

    private func giga(_ value: Double) -> String { String(format: "%.1f", value / 1e9) }
}
