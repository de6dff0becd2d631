import AdapterStore
import Adapters
import Generation
import JSONTree
import ModelFiles
import Tensors
import Tokenization

/// What can be said of an adapter's files.
struct AdapterReport {
    private let file: AdapterFile
    private let digest: AdapterDigest

    init(path: String, base: Checkpoint) throws {
        file = try AdapterReport.open(path, base)
        digest = AdapterDigest(of: file)
    }

    /// As a server does.
    private static func open(_ path: String, _ base: Checkpoint) throws -> AdapterFile {
        let file = try AdapterFile.open(path: path, base: base, limits: AdapterLimits())
        guard file.text != nil, let tokenizer = try? Tokenizer(base.tokenizer) else { return file }
        return try file.settled(try ModelText(base, tokenizer).settled)
    }

    // MARK: Many

    /// A folder's adapters, a line each.
    static func list(_ folder: String, for base: Checkpoint) throws -> String {
        let header =
            "name".padded(to: 24) + "rank".padded(to: 6) + "modules".padded(to: 9)
            + "size".padded(to: 12) + "digest"
        let rows = try ModelSettings.adapters(in: folder).map { adapter in
            do {
                return try AdapterReport(path: adapter.path, base: base).row(adapter.name)
            } catch {
                return adapter.name.padded(to: 24) + "refused: \(error)"
            }
        }
        return ([header] + rows).joined(separator: "\n")
    }

    /// Checks adapters, or those in folders, tensor by tensor, and prints what is wrong.
    ///
    /// - Returns: whether all of them can be served.
    static func verify(_ paths: [String], for base: Checkpoint) throws -> Bool {
        var areServed = true
        for path in paths {
            for adapter in adapters(at: path) {
                do {
                    let file = try open(adapter.path, base)
                    let digest = try DeviceAdapter(file, base: base, format: .f32).digest
                    print("\(adapter.name.padded(to: 24))ok  \(digest)")
                } catch {
                    areServed = false
                    print("\(adapter.name.padded(to: 24))refused: \(error)")
                }
            }
        }
        return areServed
    }

    /// An adapter, the adapters in a folder, or both: a training's output with its checkpoints.
    private static func adapters(at path: String) -> [(name: String, path: String)] {
        let inside = (try? AdapterFolder(path).adapters) ?? []
        let isOne = inside.isEmpty || AdapterFolder.isAdapter(path)
        return (isOne ? [(name: path, path: path)] : []) + inside
    }

    // MARK: One

    private var byteCount: Int {
        // One tensor may be embedding and head, or all experts'.
        let tensors =
            file.replaced.values + file.tokenRows.values.flatMap(\.pieces)
            + file.deltas.values.flatMap { [$0.a, $0.b] }
        return Set(tensors.map(\.byteRange)).reduce(0) { $0 + $1.count }
    }

    private func row(_ name: String) -> String {
        name.padded(to: 24) + "\(file.rank)".padded(to: 6) + "\(file.deltas.count)".padded(to: 9)
            + ByteCount.text(byteCount).padded(to: 12) + digest.short
    }

    var text: String {
        var lines = [
            "adapter".padded(to: 18) + file.path, "digest".padded(to: 18) + digest.description,
            "trained on".padded(to: 18) + (file.baseModelName ?? "not said"),
            "rank".padded(to: 18) + "\(file.rank)",
            "stored".padded(to: 18) + ByteCount.text(byteCount),
        ]
        func add(_ name: String, _ targets: (AdapterFile.Target) -> Bool) {
            let deltas = file.deltas.filter { targets($0.key) }
            guard !deltas.isEmpty else { return }
            let ranks = Set(deltas.values.map(\.rank)).sorted().map(String.init).joined(
                separator: ", ")
            let scales = Set(deltas.values.map(\.scale)).sorted().map { "\($0)" }.joined(
                separator: ", ")
            let kinds = [
                deltas.values.contains { $0.magnitude != nil } ? "DoRA" : nil,
                deltas.values.contains { $0.bias != nil } ? "bias" : nil,
            ].compactMap { $0 }.map { ", " + $0 }.joined()
            let isTable = deltas.keys.contains(where: { $0 == .embedding || $0 == .head })
            lines.append(
                name.padded(to: 18) + (isTable ? "" : "\(deltas.count) layers, ")
                    + "rank \(ranks), scale \(scales)\(kinds)")
        }
        add("embed_tokens") { $0 == .embedding }
        for projection in Projection.allCases {
            add(projection.rawValue) {
                guard case .projection(_, projection) = $0 else { return false }
                return true
            }
        }
        add("lm_head") { $0 == .head }
        let replaced = Dictionary(
            grouping: file.replaced.keys.map {
                $0.name.replacing(/layers\.\d+/, with: "layers.*")
            }, by: \.self)
        lines += replaced.sorted { $0.key < $1.key }.map { name, all in
            "replaces".padded(to: 18) + name + (name.contains("*") ? ", \(all.count) layers" : "")
        }
        for (target, rows) in file.tokenRows.sorted(by: { $0.key < $1.key }) {
            lines.append(
                "tokens".padded(to: 18) + "\(rows.tokens.count) rows of \(target.moduleName)")
        }
        if let size = file.vocabularySize {
            lines.append("vocabulary".padded(to: 18) + "\(size) tokens, its own")
        }
        if let scores = file.scores {
            lines.append("scores".padded(to: 18) + "\(scores.rowCount) classes")
        }
        if !file.invocation.isEmpty {
            lines.append(
                "acts from".padded(to: 18)
                    + file.invocation.map(String.init).joined(separator: " "))
        }
        return (lines + textLines + unreadLines).joined(separator: "\n")
    }

    /// What a reader may take for a part of the adapter.
    private var unreadLines: [String] {
        ["value_head.safetensors", "value_head.bin"]
            .filter { FileVersion(of: file.path + "/" + $0) != nil }
            .map {
                "not read".padded(to: 18)
                    + "\($0): the head of a reward model or of PPO, which no text comes from"
            }
    }

    private var textLines: [String] {
        guard let text = file.text else { return [] }
        var lines: [String] = []
        func add(_ name: String, _ value: Any) { lines.append(name.padded(to: 18) + "\(value)") }
        if let template = text.chatTemplate {
            let names = template.arrayValue?.compactMap { $0["name"]?.stringValue }
            add(
                "chat template", names.map { "its own: \($0.joined(separator: ", "))" } ?? "its own"
            )
        }
        if !text.addedTokens.isEmpty {
            let tokens = text.addedTokens.prefix(8).map(\.content).joined(separator: " ")
            let rest = text.addedTokens.count > 8 ? " …" : ""
            add("added tokens", "\(text.addedTokens.count): \(tokens)\(rest)")
        }
        if text.tokenizer != nil { add("tokenizer", "its own, over the base's vocabulary") }
        for (name, value) in text.templateVariables.members { add(name, value.stringValue ?? "") }
        let ends = text.endTokens + (text.generation?.endTokens ?? [])
        if !ends.isEmpty {
            add("ends with", Set(ends).sorted().map(String.init).joined(separator: ", "))
        }
        let defaults = [
            ("temperature", text.generation?.temperature), ("top_p", text.generation?.topP),
            ("top_k", text.generation?.topK.map(Double.init)), ("min_p", text.generation?.minP),
            ("repetition_penalty", text.generation?.repetitionPenalty),
            ("max_new_tokens", text.generation?.maximumTokens.map(Double.init)),
        ].compactMap { name, value in value.map { "\(name) \($0)" } }
        if !defaults.isEmpty { add("defaults", defaults.joined(separator: ", ")) }
        return lines
    }
}
