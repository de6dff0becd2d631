import ArgumentParser

struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measures this machine, the engine, or a server.",
        discussion: """
            `machine` measures what the processor and memory can do at best, `engine` how near Martlet \
            comes to it in this process, without HTTP, `serve` what clients of a server see, `quality` what a weight format costs, `device` whether a GPU is right and how fast, `grammar` what answers in a form take, `cost` what many adapters cost with and without Martlet. Run one at a time on idle cores.
            """,
        subcommands: [
            BenchMachine.self, BenchEngine.self, BenchServe.self, BenchQuality.self,
            BenchDevice.self, BenchGrammar.self, BenchCost.self,
        ])
}
