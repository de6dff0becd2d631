public import JSONTree
internal import Synchronization

/// What a text must be.
public enum GrammarSource: Hashable, Sendable {
    /// JSON that satisfies a schema (draft 2020-12 and those before).
    case schema(JSON)
    /// A JSON object with any members.
    case jsonObject
    /// The whole text matches.
    case pattern(String)
    /// One of these.
    case choice([String])
}

/// A grammar over the tokens of a vocabulary: which may come next, and whether the text may end.
///
/// Thread-safe. What has been worked out for one text is there for all others.
public final class CompiledGrammar: Sendable {
    private let vocabulary: TokenVocabulary
    private let core: Mutex<Core>
    /// Where a text begins.
    public let start: Int32

    private struct Core {
        var machine: Machine
        var masks: [Int32: [UInt64]] = [:]
    }

    /// - Throws: `GrammarError` for what cannot be enforced exactly.
    public init(_ source: GrammarSource, _ vocabulary: TokenVocabulary) throws(GrammarError) {
        self.vocabulary = vocabulary
        let machine = try Machine(source)
        start = machine.start
        core = Mutex(Core(machine: machine))
    }

    /// Roughly what has been worked out so far.
    public var byteCount: Int {
        let words = (vocabulary.tokenCount + 63) / 64
        return core.withLock { $0.machine.byteCount + 8 * words * $0.masks.count }
    }

    public func mayEnd(_ state: Int32) -> Bool { core.withLock { $0.machine.accepts(state) } }

    public func mayContinue(_ state: Int32) -> Bool {
        core.withLock { $0.machine.continues(state) }
    }

    /// What it is after a token; nil when the token cannot come there.
    public func next(_ state: Int32, _ token: Int32) throws(GrammarError) -> Int32? {
        guard let bytes = vocabulary.bytes[Int(token)], !bytes.isEmpty else { return nil }
        return try locked { (core) throws(GrammarError) in
            var state = state
            for byte in bytes {
                guard let next = try core.machine.next(state, byte) else { return nil }
                state = next
            }
            return state
        }
    }

    /// A bit for each token that may come next. It has no fewer than `next` takes, and may have a few more: where a count
    /// of characters is far from its end its bounds are not looked at.
    public func mask(_ state: Int32) throws(GrammarError) -> [UInt64] {
        try locked { (core) throws(GrammarError) in
            if let known = core.masks[state] { return known }
            let relaxed = core.machine.relaxed(state, beyond: vocabulary.longest)
            if let known = core.masks[relaxed] {
                core.masks[state] = known
                return known
            }
            let mask = try mask(of: relaxed, &core.machine)
            core.masks[relaxed] = mask
            core.masks[state] = mask
            return mask
        }
    }

    private func locked<Value>(
        _ body: (inout Core) throws(GrammarError) -> Value
    ) throws(GrammarError) -> Value where Value: Sendable {
        let result: Result<Value, GrammarError> = core.withLock { core in
            core.machine.allow(work: Machine.mostWork)
            do throws(GrammarError) { return .success(try body(&core)) } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private func mask(
        of state: Int32, _ machine: inout Machine
    ) throws(GrammarError) -> [UInt64] {
        var mask = [UInt64](repeating: 0, count: (vocabulary.tokenCount + 63) / 64)
        let room = machine.plainRoom(state)
        for slice in vocabulary.slices {
            if slice.room <= room {
                for index in mask.indices { mask[index] |= slice.mask[index] }
            } else {
                try walk(slice.tree, from: state, &machine, &mask)
            }
        }
        try walk(vocabulary.others, from: state, &machine, &mask)
        return mask
    }

    private func walk(
        _ tree: TokenVocabulary.Tree, from state: Int32, _ machine: inout Machine,
        _ mask: inout [UInt64]
    ) throws(GrammarError) {
        // The state before each byte of the way.
        var states = [Int32](repeating: state, count: tree.depth + 1)
        var place = 0
        while place < tree.nodes.count {
            let node = tree.nodes[place]
            let depth = Int(node.depth)
            guard let next = try machine.next(states[depth], node.byte) else {
                place = Int(node.end)
                continue
            }
            states[depth + 1] = next
            for index in node.first..<node.first + node.count {
                let token = Int(tree.tokens[Int(index)])
                mask[token / 64] |= 1 << UInt64(token % 64)
            }
            place += 1
        }
    }
}

extension Machine {
    init(_ source: GrammarSource) throws(GrammarError) {
        var languages = RegularLanguages()
        switch source {
        case .schema(let schema):
            try self.init(try SchemaGrammar(schema, &languages), languages)
        case .jsonObject:
            try self.init(try SchemaGrammar(["type": "object"], &languages), languages)
        case .pattern(let text):
            let language = try languages.matching(
                try PatternParser.parse(text), .text, isWhole: true)
            try self.init(try OneTerminal(language, &languages), languages)
        case .choice(let texts):
            let language = languages.oneOf(texts.map { Array($0.utf8) })
            try self.init(try OneTerminal(language, &languages), languages)
        }
    }
}

/// A grammar that is a regular language.
private final class OneTerminal: GrammarRules {
    let start = 0
    private let language: RegularLanguages.ID

    init(
        _ language: RegularLanguages.ID, _ languages: inout RegularLanguages
    ) throws(GrammarError) {
        guard !languages.isEmpty(language) else {
            throw GrammarError(.unsatisfiable, "no text matches")
        }
        guard !languages.isTooLarge else {
            throw GrammarError(.tooComplex, "the grammar is too large")
        }
        self.language = language
    }

    func productions(
        of rule: Int, _ languages: inout RegularLanguages
    ) throws(GrammarError) -> [[Symbol]] {
        [[.terminal(language)]]
    }
}
