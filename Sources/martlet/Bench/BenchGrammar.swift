import ArgumentParser
import Foundation
import Generation
import Grammar
import JSONTree
import ModelFiles
import Tokenization

struct BenchGrammar: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "grammar",
        abstract: "Measures what compiling schemas and masks of tokens take.",
        discussion: """
            FOLDER holds files with a "schema" and "tests", each with "data" and whether it is "valid", as MaskBench of \
            JSONSchemaBench has them. Every valid value is read token by token, with a mask before each, by the model's \
            tokenizer; on one core, as a server does. --every takes one file of so many.
            """)

    @Argument(help: "A folder of schemas with values.")
    var folder: String

    @Option(help: "A model, for its tokenizer: a Hugging Face folder or a GGUF file.")
    var model: String

    @Option(help: "Takes one file of so many.")
    var every = 40

    @Option(help: "Names so many of the files that took longest, by compiling and by masks.")
    var slowest = 0

    @Option(help: "Compares one mask of so many with what each token may do by itself; 0 for none.")
    var verify = 0

    func run() throws {
        let tokenizer = try Tokenizer(try Checkpoint.open(path: model).tokenizer)
        let vocabulary = TokenVocabulary(
            (0..<tokenizer.tokenCount).map {
                tokenizer.isSpecial($0) ? nil : tokenizer.bytes(of: $0)
            })
        let names = try FileManager.default.contentsOfDirectory(atPath: folder)
            .filter { $0.hasSuffix(".json") }.sorted()
        var (compiling, masks, refused): ([Double], [Double], Int) = ([], [], 0)
        var verified = Verified()
        var slow: (compiling: [(Double, String)], masks: [(Double, String)]) = ([], [])
        for index in stride(from: 0, to: names.count, by: max(1, every)) {
            let url = URL(fileURLWithPath: folder).appendingPathComponent(names[index])
            guard let file = try? JSON(parsing: Array(try Data(contentsOf: url))) else { continue }
            var grammar: CompiledGrammar?
            let time = microseconds {
                grammar = try? CompiledGrammar(.schema(file["schema"] ?? .null), vocabulary)
            }
            compiling.append(time / 1000)
            slow.compiling.append((compiling[compiling.count - 1], names[index]))
            let firstMask = masks.count
            guard let grammar else {
                refused += 1
                continue
            }
            for test in file["tests"]?.arrayValue ?? [] where test["valid"] == .bool(true) {
                do throws(GrammarError) {
                    try read(test["data"] ?? .null, grammar, tokenizer, &masks, &verified)
                } catch {
                    print("\(names[index]): \(error.message)")
                }
            }
            slow.masks.append((masks[firstMask...].max() ?? 0, names[index]))
        }
        print(
            "\(tokenizer.tokenCount) tokens, \(compiling.count) schemas, \(refused) refused, \(masks.count) masks\n"
        )
        var table = TextTable(["", "mean", "p50", "p90", "p99", "max"])
        table.add(["compiling, ms"] + figures(compiling))
        table.add(["a mask, µs"] + figures(masks))
        print(table.text)
        if verify > 0 {
            print(
                "\(verified.masks) masks compared: \(verified.missing) tokens that may come are missing, \(verified.more) more are let through, in \(verified.loose) masks"
            )
        }
        for (title, list) in [("compiling, ms", slow.compiling), ("a mask, µs", slow.masks)]
        where slowest > 0 {
            print("\nslowest, \(title)")
            for (time, name) in list.sorted(by: >).prefix(slowest) {
                print(String(format: "%10.1f", time), name)
            }
        }
    }

    private func read(
        _ value: JSON, _ grammar: CompiledGrammar, _ tokenizer: Tokenizer, _ masks: inout [Double],
        _ verified: inout Verified
    ) throws(GrammarError) {
        let text = String(decoding: CanonicalJSON.bytes(of: value), as: UTF8.self)
        var state = grammar.start
        for token in tokenizer.encode(text, addsSpecialTokens: false) {
            let time = try microseconds { () throws(GrammarError) in _ = try grammar.mask(state) }
            masks.append(time)
            if verify > 0, masks.count % verify == 0 {
                try compare(grammar, state, tokenizer, &verified)
            }
            guard let next = try grammar.next(state, Int32(token)) else { return }
            state = next
        }
    }

    private struct Verified {
        var masks = 0
        var missing = 0
        var more = 0
        var loose = 0
    }

    private func compare(
        _ grammar: CompiledGrammar, _ state: Int32, _ tokenizer: Tokenizer,
        _ verified: inout Verified
    ) throws(GrammarError) {
        let mask = try grammar.mask(state)
        verified.masks += 1
        let before = verified.more
        for token in 0..<tokenizer.tokenCount where !tokenizer.isSpecial(token) {
            let mayCome = try grammar.next(state, Int32(token)) != nil
            let isIn = mask[token / 64] >> UInt64(token % 64) & 1 == 1
            if mayCome, !isIn { verified.missing += 1 }
            if isIn, !mayCome { verified.more += 1 }
        }
        if verified.more > before { verified.loose += 1 }
    }

    /// How long something takes: of what is long only the time that the processor worked for it.
    private func microseconds<Failure: Error>(
        _ work: () throws(Failure) -> Void
    ) throws(Failure) -> Double {
        let worked = clock()
        let start = ContinuousClock.now
        try work()
        let time = (.now - start) / .microseconds(1)
        return time < 20 ? time : min(time, Double(clock() - worked) / Double(CLOCKS_PER_SEC) * 1e6)
    }

    private func figures(_ values: [Double]) -> [String] {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return Array(repeating: "-", count: 5) }
        func at(_ share: Double) -> String {
            String(format: "%.1f", sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))])
        }
        let mean = sorted.reduce(0, +) / Double(sorted.count)
        return [String(format: "%.1f", mean), at(0.5), at(0.9), at(0.99), at(1)]
    }
}
