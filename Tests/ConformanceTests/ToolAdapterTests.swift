import Adapters
import Conformance
import Foundation
import JSONTree
import ModelFiles
import StepModels
import Tensors
import TestSupport
import Testing

/// Adapters as training tools leave them: each runs as its tool runs it, or is refused by its code.
/// scripts/make_tool_adapters.py has the tools write them.
struct ToolAdapterTests {
    static let folder = Repository.path("Tests/ModelFilesTests/Goldens/tools")

    struct Case {
        var family: String
        var name: String
        var code: String?
        var tokens: [Int32]
        /// Whether it has more tokens than the base.
        var isResized: Bool
        var isScored: Bool

        var path: String { "\(ToolAdapterTests.folder)/\(family)/\(name)" }
    }

    static func cases() throws -> [Case] {
        let json = try JSON(
            parsing: Array(Data(contentsOf: URL(fileURLWithPath: "\(folder)/cases.json"))))
        func tokens(_ value: JSON?) -> [Int32]? {
            value?.arrayValue?.compactMap { $0.integerValue.map(Int32.init) }
        }
        let common = try #require(tokens(json["tokens"]))
        var cases: [Case] = []
        for (family, members) in json["families"]?.objectValue?.members ?? [] {
            for (name, entry) in members.objectValue?.members ?? [] {
                cases.append(
                    Case(
                        family: family, name: name, code: entry["code"]?.stringValue,
                        tokens: tokens(entry["tokens"]) ?? common,
                        isResized: entry["resized"]?.boolValue ?? false,
                        isScored: entry["rows"]?.stringValue == "scores"))
            }
        }
        return cases
    }

    /// Logits of an adapter alone, or a classifier's scores.
    static func logits(_ test: Case, _ base: Checkpoint) throws -> Matrix {
        let adapter = try DeviceAdapter(
            try AdapterFile.open(path: test.path, base: base, limits: AdapterLimits()),
            base: base, format: .f32)
        let weights = try ModelWeights(base, format: .f32, team: WorkerTeam(memberCount: 1))
        let model = try ConformanceTests.onCPU(KernelSet.available[0])(
            weights, test.tokens.count, 2)
        var batch = Batch()
        batch.append(
            tokens: test.tokens, firstPosition: 0, blocks: [0, 1], adapter: adapter)
        let wanted = try model.forward(batch, wanting: Array(test.tokens.indices))
        if test.isScored {
            let last = test.tokens.count - 1
            let states = try model.hiddenStates(of: last..<last + 1, in: wanted)
            return Matrix(rows: [try #require(adapter.scores(of: states.row(0)))])
        }
        return try model.logits(of: test.tokens.indices, in: wanted, peaksOnly: false).logits
            .first(columns: adapter.vocabularySize)
    }

    @Test func eachRunsAsItsToolRunsItOrIsRefused() throws {
        let cases = try Self.cases()
        #expect(cases.count >= 40)
        var (ran, refused) = (0, 0)
        for test in cases {
            let base = try Checkpoint.open(path: "\(Self.folder)/\(test.family)/model")
            if let code = test.code {
                let error = #expect(throws: ModelFileError.self, "\(test.path)") {
                    try AdapterFile.open(path: test.path, base: base, limits: AdapterLimits())
                }
                #expect(error?.code.description == code, "\(test.path)")
                refused += 1
            } else {
                try Self.compare(test, try Self.logits(test, base))
                ran += 1
            }
        }
        #expect(ran >= 34 && refused >= 3)
    }

    static func compare(_ test: Case, _ found: Matrix) throws {
        let file = try SafetensorsFile(path: "\(folder)/\(test.family)/expected.safetensors")
        let expected = try #require(file.tensors[test.name], "\(test.path)").matrix()
        #expect(expected.rowCount == (test.isScored ? 1 : test.tokens.count))
        for row in 0..<expected.rowCount {
            #expect(found.row(row).count == expected.columnCount, "\(test.path)")
            let difference = zip(found.row(row), expected.row(row)).map { abs($0 - $1) }.max()
            #expect(try #require(difference) < 1e-4, "\(test.path), row \(row)")
        }
    }

    /// mlx-lm loads what its configuration names, and drops the rest.
    @Test func whatMLXWouldDropIsRefused() throws {
        let base = try Checkpoint.open(path: "\(Self.folder)/llama/model")
        let source = "\(Self.folder)/llama/mlx"
        let config = try JSON(
            parsing: Array(
                Data(contentsOf: URL(fileURLWithPath: source + "/adapter_config.json"))))
        for (change, code) in [
            (["num_layers": 1], "unexpected_tensor"), (["num_layers": 2], nil),
            (
                ["lora_parameters": ["rank": 2, "scale": 2.0, "keys": ["self_attn.q_proj"]]],
                "unexpected_tensor"
            ), (["lora_parameters": ["rank": 3, "scale": 2.0]], "rank_mismatch"),
            (["lora_parameters": ["rank": 2]], "invalid_field"),
            (["lora_parameters": ["rank": 2, "scale": 2.0, "bias": true]], "unknown_field"),
            (["fine_tune_type": "dora"], "missing_tensor"),
        ] as [(JSON.Object, String?)] {
            var object = try #require(config.objectValue)
            for (name, value) in change.members { object[name] = value }
            let folder = try TemporaryFolder()
            try folder.write(JSON.object(object).text(), to: "adapter_config.json")
            try FileManager.default.copyItem(
                atPath: source + "/adapters.safetensors",
                toPath: folder.path("adapters.safetensors"))
            var found: String?
            do throws(ModelFileError) {
                _ = try AdapterFile.open(
                    path: folder.path(""), base: base, limits: AdapterLimits())
            } catch {
                found = error.code.description
            }
            #expect(found == code, "\(JSON.object(change).text())")
        }
    }

    /// mlx-lm drops a head's change where the head is the embedding.
    @Test func mlxHeadOfTiedBaseIsRefused() throws {
        let base = try Checkpoint.open(path: "\(Self.folder)/tied/model")
        let error = #expect(throws: ModelFileError.self) {
            _ = try AdapterFile.open(
                path: "\(Self.folder)/llama/mlx-tables", base: base, limits: AdapterLimits())
        }
        #expect(error?.code == .unexpectedTensor)
    }

    // MARK: More tokens than the base

    /// Whatever the vocabularies of a batch's adapters, each row's logits are of its own, and the same as alone.
    @Test(arguments: KernelSet.available.map(\.name))
    func vocabulariesShareABatch(_ kernels: String) throws {
        let kernels = try #require(KernelSet.available.first { $0.name == kernels })
        for family in ["llama", "tied"] {
            let base = try Checkpoint.open(path: "\(Self.folder)/\(family)/model")
            let weights = try ModelWeights(base, format: .f32, team: WorkerTeam(memberCount: 1))
            let cases = try Self.cases().filter {
                $0.family == family && $0.code == nil && !$0.isScored
            }
            let model = try ConformanceTests.onCPU(kernels)(
                weights, cases.count * 14, cases.count * 2 + 1)
            var batch = Batch()
            var sizes: [Int] = []
            for (index, test) in cases.enumerated() {
                let adapter = try DeviceAdapter(
                    try AdapterFile.open(path: test.path, base: base, limits: AdapterLimits()),
                    base: base, format: .f32)
                let blocks = [Int32(2 * index + 1), Int32(2 * index + 2)]
                batch.append(
                    tokens: test.tokens, firstPosition: 0, blocks: blocks, adapter: adapter)
                sizes += Array(repeating: adapter.vocabularySize, count: test.tokens.count)
                // The base between them.
                if index % 3 == 0 {
                    batch.append(tokens: [5], firstPosition: 0, blocks: [0], adapter: nil)
                    sizes.append(base.configuration.vocabularySize)
                }
            }
            #expect(family == "tied" || Set(sizes).count >= 4)
            let wanted = try model.forward(batch, wanting: Array(0..<batch.rowCount))
            var together: [[Float]] = []
            for first in stride(from: 0, to: batch.rowCount, by: 48) {
                let rows = first..<min(first + 48, batch.rowCount)
                let (logits, peaks) = try model.logits(of: rows, in: wanted, peaksOnly: false)
                for row in rows { together.append(Array(logits.row(row - first)[..<sizes[row]])) }
                let (_, only) = try model.logits(of: rows, in: wanted, peaksOnly: true)
                for row in rows {
                    let largest = together[row].max()
                    for peak in [peaks[row - first], only[row - first]] {
                        #expect(peak.maximum == largest)
                        #expect(together[row][peak.column] == largest)
                    }
                }
            }
            var row = 0
            for (index, test) in cases.enumerated() {
                let rows = together[row..<row + test.tokens.count]
                try Self.compare(test, Matrix(rows: Array(rows)))
                row += test.tokens.count
                if index % 3 == 0 { row += 1 }
            }
        }
    }

    /// As a server does before anybody asks for them.
    @Test func whatRunsIsNotRefusedByItsHeader() throws {
        for test in try Self.cases() where test.code == nil {
            let base = try Checkpoint.open(path: "\(Self.folder)/\(test.family)/model")
            #expect(throws: Never.self, "\(test.path)") {
                try AdapterFile.open(
                    path: test.path, base: base, limits: AdapterLimits(), reading: .header)
            }
        }
    }

    /// Rows before the invocation are the base's, which has other tokens.
    @Test(arguments: ["peft-shrunk", "peft-resized"])
    func invokedAdaptersHaveTheBasesVocabulary(_ name: String) throws {
        let base = try Checkpoint.open(path: "\(Self.folder)/llama/model")
        let folder = try TemporaryFolder()
        let source = "\(Self.folder)/llama/\(name)"
        let config = try JSON(
            parsing: Array(
                Data(contentsOf: URL(fileURLWithPath: source + "/adapter_config.json"))))
        var object = try #require(config.objectValue)
        object["alora_invocation_tokens"] = [5, 6]
        try folder.write(JSON.object(object).text(), to: "adapter_config.json")
        try FileManager.default.copyItem(
            atPath: source + "/adapter_model.safetensors",
            toPath: folder.path("adapter_model.safetensors"))
        for reading in [FileReading.header, .copied] {
            let error = #expect(throws: ModelFileError.self) {
                try AdapterFile.open(
                    path: folder.path(""), base: base, limits: AdapterLimits(), reading: reading)
            }
            #expect(error?.code == .unsupportedField)
        }
    }

    @Test func whatTheBaseHasIsNotKept() throws {
        let base = try Checkpoint.open(path: "\(Self.folder)/llama/model")
        func rows(_ name: String) throws -> [Int] {
            let file = try AdapterFile.open(
                path: "\(Self.folder)/llama/\(name)", base: base, limits: AdapterLimits())
            #expect(file.replaced.isEmpty)
            return [AdapterFile.Target.embedding, .head].map {
                file.tokenRows[$0]?.tokens.count ?? 0
            }
        }
        #expect(try rows("peft-resized") == [3, 3])
        #expect(try rows("peft-resized-tokens") == [3, 3])
        #expect(try rows("peft-shrunk") == [0, 0])
        var limits = AdapterLimits()
        limits.tokens = 2
        let error = #expect(throws: ModelFileError.self) {
            try AdapterFile.open(
                path: "\(Self.folder)/llama/peft-resized", base: base, limits: limits)
        }
        #expect(error?.code == .limitExceeded)
        limits = AdapterLimits()
        limits.allowsOtherVocabularies = false
        let other = #expect(throws: ModelFileError.self) {
            try AdapterFile.open(
                path: "\(Self.folder)/llama/peft-resized", base: base, limits: limits)
        }
        #expect(other?.code == .unsupportedVocabulary)
    }

    /// The base resized and saved with the adapter's tokenizer. The new rows are the ones that the tool began its training with, which
    /// its file holds.
    static func resizedBase(_ test: Case, in folder: TemporaryFolder) throws -> Checkpoint {
        let model = "\(Self.folder)/\(test.family)/model"
        let adapter = try SafetensorsFile(path: test.path + "/adapter_model.safetensors").tensors
        let whole = try SafetensorsFile(path: model + "/model.safetensors").tensors
        var writer = SafetensorsWriter()
        var rowCount = 0
        for (name, tensor) in whole.sorted(by: { $0.key < $1.key }) {
            let module = name.dropLast(".weight".count)
            let table = [
                ".original_module.weight", ".token_adapter.base_layer.weight",
                ".base_layer.weight", ".weight",
            ].lazy.compactMap { adapter["base_model.model.\(module)\($0)"] }.first
            let isTable = name == "model.embed_tokens.weight" || name == "lm_head.weight"
            let source = isTable ? try #require(table, "\(test.path)") : tensor
            if isTable { rowCount = source.rowCount }
            writer.add(name, source)
        }
        try folder.write(writer.bytes, to: "model.safetensors")
        let config = try JSON(
            parsing: Array(Data(contentsOf: URL(fileURLWithPath: model + "/config.json"))))
        var object = try #require(config.objectValue)
        object["vocab_size"] = .integer(rowCount)
        try folder.write(JSON.object(object).text(), to: "config.json")
        for file in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
            try? FileManager.default.copyItem(
                atPath: "\(test.path)/\(file)", toPath: folder.path(file))
        }
        return try Checkpoint.open(path: folder.path(""))
    }

    @Test func addedTokensRunOnTheResizedBaseToo() throws {
        let cases = try Self.cases().filter { $0.isResized && !$0.isScored }
        #expect(cases.count >= 7)
        for test in cases {
            let folder = try TemporaryFolder()
            do {
                let resized = try Self.resizedBase(test, in: folder)
                try Self.compare(test, try Self.logits(test, resized))
            } catch {
                Issue.record("\(test.path): \(error)")
            }
        }
    }
}
