internal import Synchronization

/// A grammar over the tokens of a vocabulary: which may come next, and whether the text may end.
///
/// Thread-safe. What has been worked out for one text is there for all others.
public final class CompiledGrammar: Sendable {
    /// For a byte, or for a token.
    private static let mostWork = 200_000
    private let vocabulary: TokenVocabulary
    private let core: Mutex<Core>
    /// Where a text begins.
    public let start: Int32

    private struct Core {
        var machine: Machine
        var masks: [Int32: [UInt64]] = [:]
        /// Masks that are not complete.
        var walks: [Int32: Walk] = [:]
    }

    /// How far a mask has come.
    private struct Walk {
        var mask: [UInt64]
        /// Of the trees, those of slices first.
        var tree = 0
        var place = 0
        /// The state before each byte of the way.
        var states: [Int32] = []
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
    ///
    /// - Parameter work: what may be done of it at once.
    /// - Returns: nil when there is more to do; the next call goes on.
    public func mask(_ state: Int32, work: Int) throws(GrammarError) -> [UInt64]? {
        try locked { (core) throws(GrammarError) in
            if let known = core.masks[state] { return known }
            let relaxed = core.machine.relaxed(state, beyond: vocabulary.longest)
            if let known = core.masks[relaxed] {
                core.masks[state] = known
                return known
            }
            let words = (vocabulary.tokenCount + 63) / 64
            var walk =
                core.walks.removeValue(forKey: relaxed)
                ?? Walk(mask: [UInt64](repeating: 0, count: words))
            guard try advance(&walk, from: relaxed, &core.machine, work) else {
                core.walks[relaxed] = walk
                return nil
            }
            core.masks[relaxed] = walk.mask
            core.masks[state] = walk.mask
            return walk.mask
        }
    }

    /// Tokens that a state leaves no choice about, as a tokenizer would most likely cut them; none where that takes work.
    public func forced(_ state: Int32) -> [Int32] {
        let bytes = core.withLock { core -> [UInt8] in
            core.machine.allow(work: Self.forcedWork)
            return core.machine.forced(state, limit: Self.mostForcedBytes)
        }
        return bytes.isEmpty ? [] : vocabulary.cut(bytes)
    }

    private static let forcedWork = 1_000
    private static let mostForcedBytes = 64

    /// The whole mask, however long it takes.
    public func mask(_ state: Int32) throws(GrammarError) -> [UInt64] {
        while true {
            if let mask = try mask(state, work: .max) { return mask }
        }
    }

    private func locked<Value>(
        _ body: (inout Core) throws(GrammarError) -> Value
    ) throws(GrammarError) -> Value where Value: Sendable {
        let result: Result<Value, GrammarError> = core.withLock { core in
            core.machine.allow(work: Self.mostWork)
            do throws(GrammarError) { return .success(try body(&core)) } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Goes on with a mask.
    ///
    /// - Returns: whether it is complete.
    private func advance(
        _ walk: inout Walk, from state: Int32, _ machine: inout Machine, _ work: Int
    ) throws(GrammarError) -> Bool {
        let room = machine.plainRoom(state)
        var done = 0
        while walk.tree <= vocabulary.slices.count {
            let slice =
                walk.tree < vocabulary.slices.count ? vocabulary.slices[walk.tree] : nil
            if let slice, slice.room <= room {
                for index in walk.mask.indices { walk.mask[index] |= slice.mask[index] }
            } else {
                let tree = slice?.tree ?? vocabulary.others
                guard try walkTree(tree, &walk, from: state, &machine, &done, work) else {
                    return false
                }
            }
            walk.tree += 1
            walk.place = 0
        }
        return true
    }

    private func walkTree(
        _ tree: TokenVocabulary.Tree, _ walk: inout Walk, from state: Int32,
        _ machine: inout Machine, _ done: inout Int, _ work: Int
    ) throws(GrammarError) -> Bool {
        var states =
            walk.place == 0 ? [Int32](repeating: state, count: tree.depth + 1) : walk.states
        var place = walk.place
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
                walk.mask[token / 64] |= 1 << UInt64(token % 64)
            }
            place += 1
            // Each byte has its own bound, and all together have the caller's.
            if machine.work > 0 {
                done += machine.work
                machine.allow(work: Self.mostWork)
                if done > work, place < tree.nodes.count {
                    (walk.place, walk.states) = (place, states)
                    return false
                }
            }
        }
        return true
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
