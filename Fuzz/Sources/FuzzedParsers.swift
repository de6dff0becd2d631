import Adapters
import ChatTemplates
import Foundation
import Grammar
import JSONTree
import ModelFiles
import OpenAIWire
import Placement
import Tensors
import Tokenization

/// A parser of what comes from outside.
enum FuzzTarget: String, CaseIterable {
    /// A request's body, or any JSON file.
    case json
    /// A request, by its route.
    case request
    case safetensors
    /// A GGUF file with all that is read from it: a model's shape, a tokenizer, an adapter.
    case gguf
    /// `config.json` and `generation_config.json`.
    case model
    /// `adapter_config.json`, over the tensors of a real adapter.
    case adapter
    /// The header of `adapter_model.safetensors`, under a real adapter's configuration.
    case tensors
    case pack
    /// `target_modules` as a pattern.
    case pattern
    /// `tokenizer.json`, of a model and of an adapter.
    case tokenizer
    /// A prompt, for each kind of tokenizer.
    case prompt
    case template
    /// What a replica says to a router, and a router's look into a request.
    case router
    /// A schema that an answer is held to.
    case schema
    /// A pattern that it must match.
    case regex
    case notation
}

/// Gives an input to a parser. Errors are what bad inputs should come to; a trap, a hang or memory without
/// bound is what libFuzzer looks for, and a `fatalError` here where two ways of reading disagree.
final class FuzzedParsers: Sendable {
    private let folder: String
    private let base: Checkpoint
    /// A model that has a tokenizer.
    private let talking: Checkpoint
    private let tokenizers: [Tokenizer]
    private let conversation: JSON.Object
    private let plain: String
    private let digest: AdapterDigest
    /// Weights of a quantized checkpoint by their method.
    private let quantized: [String: String]

    init() {
        do {
            folder = FileManager.default.currentDirectoryPath + "/.build/fuzz/work-\(getpid())"
            try FileManager.default.createDirectory(
                atPath: folder + "/adapter", withIntermediateDirectories: true)
            let goldens = FileManager.default.currentDirectoryPath + "/Tests"
            let checkpoints = goldens + "/ModelFilesTests/Goldens/quantized"
            quantized = [
                "gptq": "gptq-4bit-g32", "awq": "awq-g32",
                "compressed-tensors": "ct-naive-int-zeros",
                "fp8": "fp8-block-128-cut",
            ].mapValues { "\(checkpoints)/\($0)/model.safetensors" }
            plain = goldens + "/ConformanceTests/Goldens/llama/plain"
            base = try Checkpoint.open(path: goldens + "/ConformanceTests/Goldens/llama/model")
            let tools = goldens + "/ModelFilesTests/Goldens/tools/tied"
            talking = try Checkpoint.open(path: tools + "/model")
            try? FileManager.default.removeItem(atPath: "\(folder)/talking")
            try FileManager.default.createDirectory(
                atPath: "\(folder)/talking", withIntermediateDirectories: true)
            for name in ["adapter_config.json", "adapter_model.safetensors"] {
                try FileManager.default.copyItem(
                    atPath: "\(tools)/resized/\(name)", toPath: "\(folder)/talking/\(name)")
            }
            tokenizers = try ["gpt2", "llama2", "llama3", "mistral", "qwen2", "smollm"].map {
                try Tokenizer(
                    huggingFace: readJSON(
                        goldens + "/TokenizationTests/Goldens/\($0).tokenizer.json"))
            }
            for name in ["adapter_config.json", "adapter_model.safetensors"] {
                try? FileManager.default.removeItem(atPath: "\(folder)/adapter/\(name)")
                try FileManager.default.copyItem(
                    atPath: "\(plain)/\(name)", toPath: "\(folder)/adapter/\(name)")
            }
            let file = try AdapterFile.open(path: plain, base: base, limits: AdapterLimits())
            let adapter = try DeviceAdapter(file, base: base, format: .bf16)
            digest = adapter.digest
            // What the fuzzer of packs begins with.
            let seeds = FileManager.default.currentDirectoryPath + "/.build/fuzz/seeds/pack"
            try FileManager.default.createDirectory(
                atPath: seeds, withIntermediateDirectories: true)
            try AdapterPack.write(
                adapter, base: base, fingerprint: BaseFingerprint(of: base),
                to: "\(seeds)/whole-\(getpid())")
            conversation = try FuzzedParsers.conversation()
        } catch {
            fatalError("the fuzzer needs the repository's goldens: \(error)")
        }
    }

    private func takeRouted(_ input: [UInt8]) {
        let scan = RequestScan(input)
        if let text = scan.text { _ = PrefixTable.hashes(of: input[text], salt: scan.model ?? "") }
        guard let json = try? JSON(parsing: input) else { return }
        // Where both understand the body, they find the same model.
        if let model = json["model"]?.stringValue, model.utf8.count <= 1000, let found = scan.model,
            found != model
        {
            fatalError("a router takes \(found) for \(model)")
        }
        guard let report = try? ReplicaReport(json) else { return }
        var view = ClusterView()
        view.setReplicas(["a:1", "b:1"])
        view.hear(report, from: 0, at: 1)
        _ = view.pick(ClusterView.Request(adapter: report.adapters.first?.names.first), at: 1)
        _ = view.replan(at: 2)
        view.hear(report, from: 1, at: 3)
        _ = view.replan(at: 4)
    }

    func take(_ input: [UInt8], _ target: FuzzTarget) {
        switch target {
        case .json: takeJSON(input)
        case .router: takeRouted(input)
        case .request: takeRequest(input)
        case .safetensors: read(input) { try SafetensorsFile(path: $0, reading: .copied).tensors }
        case .gguf: takeGGUF(input)
        case .model: takeModel(input)
        case .adapter: takeAdapter(input, "adapter_config.json")
        case .tensors: takeAdapter(input, "adapter_model.safetensors")
        case .pack: takePack(input)
        case .pattern: takePattern(input)
        case .schema:
            guard let json = try? JSON(parsing: input), var checker = try? SchemaChecker(json)
            else { return }
            // A schema is a value too.
            _ = try? checker.accepts(json)
        case .regex:
            guard let text = String(validating: input, as: UTF8.self) else { return }
            _ = try? SchemaChecker(["type": "string", "pattern": .string(text)])
        case .notation: takeNotation(input)
        case .tokenizer:
            guard let json = try? JSON(parsing: input) else { return }
            let whole = try? Tokenizer(huggingFace: json)
            if let whole { encode("Hello, wörld 123\n\n  été", with: whole) }
            takeAdapterTokenizer(input, whole)
        case .prompt:
            let text = String(decoding: input, as: UTF8.self)
            for tokenizer in tokenizers { encode(text, with: tokenizer, isReal: true) }
        case .template:
            guard let template = try? ChatTemplate(String(decoding: input, as: UTF8.self)) else {
                return
            }
            _ = try? template.render(conversation)
        }
    }

    /// A grammar, and its own text read by it.
    private func takeNotation(_ input: [UInt8]) {
        guard let text = String(validating: input, as: UTF8.self),
            let grammar = try? CompiledGrammar(.notation(text), FuzzedParsers.bytes)
        else { return }
        var state = grammar.start
        for byte in input.prefix(8) {
            guard let mask = try? grammar.mask(state, work: 4000) else { return }
            guard let next = (try? grammar.next(state, Int32(byte))) ?? nil else { return }
            let isAllowed = mask[Int(byte) / 64] >> UInt64(byte % 64) & 1 == 1
            guard isAllowed else { fatalError("a mask lacks a byte that may come") }
            state = next
        }
    }

    /// A token for each byte.
    private static let bytes = TokenVocabulary((0...255).map { [UInt8($0)] })

    private func takeJSON(_ input: [UInt8]) {
        guard let json = try? JSON(parsing: input) else { return }
        guard let again = try? JSON(parsing: Array(json.text().utf8)), again == json else {
            fatalError("JSON that was written is read as something else")
        }
    }

    private func takeRequest(_ input: [UInt8]) {
        guard let json = try? JSON(parsing: input) else { return }
        _ = try? CompletionRequest(json)
        _ = try? ChatRequest(json)
        _ = try? MessagesRequest(json)
        _ = try? ResponsesRequest(json)
        _ = try? EmbeddingRequest(json)
        guard let terms = try? KeyTerms(json) else { return }
        guard let again = try? KeyTerms(terms.json), again == terms else {
            fatalError("what a key may is read back as something else")
        }
        _ = terms.allows("acme/support")
    }

    private func takeModel(_ input: [UInt8]) {
        guard let json = try? JSON(parsing: input) else { return }
        _ = try? ModelConfiguration(huggingFace: json, source: "config.json")
        _ = try? GenerationDefaults(generation: json, config: json, source: "config.json")
        guard let method = json["quantization_config"]?["quant_method"]?.stringValue,
            let weights = quantized[method]
        else { return }
        try? FileManager.default.removeItem(atPath: "\(folder)/quantized")
        try? FileManager.default.createDirectory(
            atPath: "\(folder)/quantized", withIntermediateDirectories: true)
        try? FileManager.default.createSymbolicLink(
            atPath: "\(folder)/quantized/model.safetensors", withDestinationPath: weights)
        guard write(input, "quantized/config.json") != nil,
            let base = try? Checkpoint.open(path: "\(folder)/quantized")
        else { return }
        for tensor in base.storedTensors { _ = try? tensor.matrix() }
    }

    private func takeGGUF(_ input: [UInt8]) {
        guard let path = write(input, "file.gguf") else { return }
        guard let file = try? GGUFFile(path: path, reading: .copied) else { return }
        for tensor in file.tensors.values { _ = try? tensor.values() }
        _ = try? ModelConfiguration(gguf: file)
        _ = try? AdapterFile.open(path: path, base: base, limits: AdapterLimits())
        func list(_ name: String) -> [GGUFValue] {
            file.metadata["tokenizer.ggml.\(name)"]?.array ?? []
        }
        let vocabulary = GGUFVocabulary(
            model: file.metadata["tokenizer.ggml.model"]?.string ?? "",
            pre: file.metadata["tokenizer.ggml.pre"]?.string,
            tokens: list("tokens").map { $0.string ?? "" },
            types: list("token_type").map { $0.integer ?? 1 },
            merges: list("merges").map { $0.string ?? "" },
            scores: list("scores").map { $0.number ?? 0 })
        if let tokenizer = try? Tokenizer(gguf: vocabulary) {
            encode("Hello, wörld 123\n\n  été", with: tokenizer)
        }
    }

    private func takeAdapter(_ input: [UInt8], _ name: String) {
        guard write(input, "adapter/\(name)") != nil else { return }
        var limits = AdapterLimits()
        limits.byteCount = 1 << 20
        guard
            let file = try? AdapterFile.open(
                path: folder + "/adapter", base: base, limits: limits)
        else { return }
        _ = try? DeviceAdapter(file, base: base, format: .bf16)
    }

    /// An adapter's tokenizer over the base's makes of a text what the whole file makes of it.
    private func takeAdapterTokenizer(_ input: [UInt8], _ whole: Tokenizer?) {
        guard write(input, "talking/tokenizer.json") != nil,
            let file = try? AdapterFile.open(
                path: folder + "/talking", base: talking, limits: AdapterLimits()),
            case .huggingFace(let json, _) = talking.tokenizer,
            let base = try? Tokenizer(huggingFace: json)
        else { return }
        let additions = (file.text?.addedTokens ?? []).map { token in
            var addition = Tokenizer.Addition(id: token.id, content: token.content)
            addition.isSpecial = token.isSpecial
            addition.isSingleWord = token.isSingleWord
            addition.stripsLeft = token.stripsLeft
            addition.stripsRight = token.stripsRight
            addition.isNormalized = token.isNormalized
            return addition
        }
        guard let own = try? base.adding(additions, parts: file.text?.tokenizer), let whole else {
            return
        }
        let contents = additions.map(\.content).joined(separator: " he ")
        let text = "Hello, w\u{F6}rld 123<|im_start|> \(contents)\n\n  the <|tool|>"
        guard own.encode(text) == whole.encode(text) else {
            fatalError("an adapter's tokens are others than its file's")
        }
    }

    private func takePack(_ input: [UInt8]) {
        guard let path = write(input, "pack") else { return }
        _ = try? AdapterPack.read(
            path, digest: digest, base: base, fingerprint: BaseFingerprint(of: base), format: .bf16)
    }

    private func takePattern(_ input: [UInt8]) {
        let text = String(decoding: input, as: UTF8.self)
        guard let pattern = try? ModulePattern(text) else { return }
        for target in AdapterFile.Target.all(for: base.configuration) {
            _ = pattern.matchesWhole(target.moduleName)
        }
    }

    /// - Parameter isReal: whether its tokens stand for whole texts, so that text in parts is the text.
    private func encode(_ text: String, with tokenizer: Tokenizer, isReal: Bool = false) {
        let ids = tokenizer.encode(text)
        guard ids.allSatisfy({ $0 >= 0 && $0 < tokenizer.tokenCount }) else {
            fatalError("a prompt has a token that the tokenizer lacks")
        }
        let whole = tokenizer.decode(ids, skipsSpecialTokens: false)
        var detokenizer = Detokenizer(tokenizer, skipsSpecialTokens: false)
        let parts = ids.map { detokenizer.append($0) }.joined() + detokenizer.finish()
        guard whole == parts || !isReal else { fatalError("text in parts is not the text") }
    }

    private func read(_ input: [UInt8], _ open: (String) throws -> [String: StoredTensor]) {
        guard let path = write(input, "file"), let tensors = try? open(path) else { return }
        for tensor in tensors.values { _ = try? tensor.values() }
    }

    private func write(_ input: [UInt8], _ name: String) -> String? {
        let path = "\(folder)/\(name)"
        return FileManager.default.createFile(atPath: path, contents: Data(input)) ? path : nil
    }

    private static func conversation() throws -> JSON.Object {
        let text = """
            {"messages": [{"role": "system", "content": "Be brief."},
             {"role": "user", "content": "What is 2 + 2?"},
             {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function",
              "function": {"name": "add", "arguments": {"a": 2, "b": 2.5, "c": [1, null, true]}}}]},
             {"role": "tool", "content": "4", "tool_call_id": "1"},
             {"role": "user", "content": [{"type": "text", "text": "Zażółć gęślą\\n"}]}],
             "tools": [{"type": "function", "function": {"name": "add", "parameters": {
              "type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}}}],
             "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>"}
            """
        return try JSON(parsing: Array(text.utf8)).objectValue ?? JSON.Object()
    }
}
