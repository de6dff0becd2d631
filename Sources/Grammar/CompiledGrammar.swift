internal import Synchronization

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
        var parts = GrammarParts()
        let start = try parts.add(source, &languages)
        try self.init(try ComposedGrammar(parts, start: start, &languages), languages)
    }
}
