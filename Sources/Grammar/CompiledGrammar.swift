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
        /// Of the grammar's own tokens, and of what adapters have instead.
        var masks: Masks
        /// Those that grew last are at the end.
        var others: [Masks] = []

        /// What can be made again.
        mutating func forgetMasks() {
            masks = Masks(masks.vocabulary)
            others = []
        }

        func place(of vocabulary: TokenVocabulary) -> Int? {
            others.lastIndex { $0.vocabulary === vocabulary }
        }

        var maskByteCount: Int { others.reduce(masks.byteCount) { $0 + $1.byteCount } }
    }

    /// Vocabularies beside the grammar's own, of adapters that came lately.
    private static let otherLimit = 16

    /// Masks of one vocabulary's tokens.
    private struct Masks {
        /// It is kept as long as its masks are.
        let vocabulary: TokenVocabulary
        var known: [Int32: TokenMask] = [:]
        /// The same by the parts that they are of: many states have one and the same.
        var unions: [[Part]: TokenMask] = [:]
        /// Of a section's tokens.
        var parts: [Part: TokenMask] = [:]
        /// Parts that are not complete.
        var walks: [Part: MaskWalk] = [:]

        init(_ vocabulary: TokenVocabulary) { self.vocabulary = vocabulary }

        var byteCount: Int {
            let words = (vocabulary.tokenCount + 63) / 64
            return (8 * words + 64) * (unions.count + parts.count + walks.count)
                + 64 * known.count
        }

        /// - Returns: nil when there is more to do than `work`.
        mutating func mask(
            _ state: Int32, _ machine: inout Machine, _ work: Int
        ) throws(GrammarError) -> [UInt64]? {
            var (needed, done): ([Part], Int) = ([], 0)
            for (index, section) in vocabulary.sections.enumerated() {
                let relaxed = machine.relaxed(state, beyond: section.longest)
                let part = Part(section: index, state: relaxed)
                guard try complete(part, &machine, &done, work) else { return nil }
                needed.append(part)
            }
            var mask = unions[needed] ?? TokenMask(tokenCount: vocabulary.tokenCount)
            if unions[needed] == nil {
                for part in needed {
                    if let tokens = parts[part] { mask.formUnion(tokens) }
                }
                unions[needed] = mask
            }
            known[state] = mask
            return mask.words
        }

        /// Goes on with a part of a mask.
        ///
        /// - Returns: whether it is complete.
        private mutating func complete(
            _ part: Part, _ machine: inout Machine, _ done: inout Int, _ work: Int
        ) throws(GrammarError) -> Bool {
            if parts[part] != nil { return true }
            var walk =
                walks.removeValue(forKey: part)
                ?? MaskWalk(part.state, tokenCount: vocabulary.tokenCount)
            var isComplete = try walk.prepare(&machine, &done, work)
            var baseMask: TokenMask?
            if isComplete, let state = walk.base {
                let base = Part(section: part.section, state: state)
                isComplete = try complete(base, &machine, &done, work)
                baseMask = parts[base]
            }
            if isComplete {
                let section = vocabulary.sections[part.section]
                isComplete = try walk.advance(in: section, baseMask, &machine, &done, work)
            }
            if isComplete { parts[part] = walk.mask } else { walks[part] = walk }
            return isComplete
        }
    }

    /// Bytes of masks, beyond which they are forgotten; and of all else, which texts under way need: beyond it they end.
    private static let mostMaskBytes = 64 << 20
    private static let mostBytes = 512 << 20

    private struct Part: Hashable {
        var section: Int
        var state: Int32
    }

    /// - Throws: `GrammarError` for what cannot be enforced exactly.
    public init(_ source: GrammarSource, _ vocabulary: TokenVocabulary) throws(GrammarError) {
        self.vocabulary = vocabulary
        let machine = try Machine(source)
        start = machine.start
        core = Mutex(Core(machine: machine, masks: Masks(vocabulary)))
    }

    /// Roughly what has been worked out so far.
    public var byteCount: Int {
        core.withLock { $0.machine.byteCount + $0.maskByteCount }
    }

    public func mayEnd(_ state: Int32) -> Bool { core.withLock { $0.machine.accepts(state) } }

    public func mayContinue(_ state: Int32) -> Bool {
        core.withLock { $0.machine.continues(state) }
    }

    /// What it is after a token; nil when the token cannot come there.
    public func next(_ state: Int32, _ token: Int32) throws(GrammarError) -> Int32? {
        guard let bytes = vocabulary.bytes(of: Int(token)) else { return nil }
        return try next(state, bytes)
    }

    /// The same after a token that the vocabulary lacks, of these bytes.
    public func next(_ state: Int32, _ bytes: [UInt8]) throws(GrammarError) -> Int32? {
        guard !bytes.isEmpty else { return nil }
        return try locked { (core) throws(GrammarError) in
            var state = state
            for byte in bytes {
                // As a mask has it.
                core.machine.allow(work: MaskWalk.mostWork)
                guard let next = try core.machine.next(state, byte) else { return nil }
                state = next
            }
            return state
        }
    }

    /// A bit for each token that may come next. It has no fewer than `next` takes, and may have a few more: where a count
    /// of characters is far from its end its bounds are not looked at.
    ///
    /// - Parameters:
    ///   - work: what may be done of it at once.
    ///   - other: tokens that are not the grammar's.
    /// - Returns: nil when there is more to do; the next call goes on.
    public func mask(
        _ state: Int32, work: Int, of other: TokenVocabulary? = nil
    ) throws(GrammarError) -> [UInt64]? {
        try locked { (core) throws(GrammarError) in
            let found =
                other.map { core.place(of: $0).flatMap { core.others[$0].known[state] } }
                ?? core.masks.known[state]
            if let found { return found.words }
            if core.maskByteCount > Self.mostMaskBytes { core.forgetMasks() }
            guard core.machine.byteCount <= Self.mostBytes else {
                throw GrammarError(.tooComplex, "the grammar has too many places in texts")
            }
            guard let other else { return try core.masks.mask(state, &core.machine, work) }
            // Out of its place meanwhile, so that it is not copied.
            var masks = core.place(of: other).map { core.others.remove(at: $0) } ?? Masks(other)
            while core.others.count >= Self.otherLimit,
                let idle = core.others.firstIndex(where: \.walks.isEmpty)
            {
                core.others.remove(at: idle)
            }
            defer { core.others.append(masks) }
            return try masks.mask(state, &core.machine, work)
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
            core.machine.allow(work: MaskWalk.mostWork)
            do throws(GrammarError) { return .success(try body(&core)) } catch {
                return .failure(error)
            }
        }
        return try result.get()
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
