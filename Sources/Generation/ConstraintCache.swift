package import Engine
internal import Grammar
internal import Synchronization
internal import Tokenization

/// Grammars over a tokenizer's tokens, compiled once and shared by all adapters and requests that ask for the same.
final class ConstraintCache: Sendable {
    private let tokenizer: Tokenizer
    private let state = Mutex(State())
    private static let mostGrammars = 64
    private static let mostBytes = 64 << 20

    private struct State {
        var vocabulary: TokenVocabulary?
        var grammars: [GrammarSource: GrammarConstraint] = [:]
        /// The least recently asked for first.
        var order: [GrammarSource] = []
    }

    init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

    /// Compiles a grammar unless it is there. Takes as long as that takes: not for an event loop.
    func constraint(_ source: GrammarSource) throws(GrammarError) -> GrammarConstraint {
        let known: GrammarConstraint? = state.withLock { state in
            guard let found = state.grammars[source] else { return nil }
            state.order.removeAll { $0 == source }
            // What texts of all kinds have made too large begins anew.
            guard found.grammar.byteCount <= Self.mostBytes else {
                state.grammars[source] = nil
                return nil
            }
            state.order.append(source)
            return found
        }
        if let known { return known }
        let made = GrammarConstraint(try CompiledGrammar(source, vocabulary))
        state.withLock { state in
            state.order.removeAll { $0 == source }
            state.grammars[source] = made
            state.order.append(source)
            while state.order.count > Self.mostGrammars {
                state.grammars[state.order.removeFirst()] = nil
            }
        }
        return made
    }

    /// Made for the first grammar: it takes a moment.
    private var vocabulary: TokenVocabulary {
        state.withLock { state in
            if let known = state.vocabulary { return known }
            let made = TokenVocabulary(
                (0..<tokenizer.tokenCount).map { tokenizer.grammarBytes(of: $0) })
            state.vocabulary = made
            return made
        }
    }
}

/// A grammar as the engine asks it.
package final class GrammarConstraint: TokenConstraint {
    let grammar: CompiledGrammar
    /// An adapter's, whatever the grammar's tokens of their numbers are.
    private let ownTokens: OwnTokens?

    init(_ grammar: CompiledGrammar, over ownTokens: OwnTokens? = nil) {
        self.grammar = grammar
        self.ownTokens = ownTokens
    }

    /// The same for an adapter that has tokens of its own.
    func over(_ ownTokens: OwnTokens?) -> GrammarConstraint {
        ownTokens == nil ? self : GrammarConstraint(grammar, over: ownTokens)
    }

    package var start: Int32 { grammar.start }
    package func allowed(in state: Int32) -> AllowedTokens {
        do {
            guard var mask = try grammar.mask(state, work: Self.workAtOnce) else {
                return .pending
            }
            guard let ownTokens else { return .mask(mask) }
            guard
                let own = try grammar.mask(
                    state, work: Self.workAtOnce, of: ownTokens.vocabulary)
            else { return .pending }
            ownTokens.put(own, into: &mask)
            return .mask(mask)
        } catch {
            return .unknown
        }
    }
    /// Some milliseconds' worth: nearly every mask takes less.
    private static let workAtOnce = 4_000
    package func next(_ state: Int32, _ token: Int32) -> Int32? {
        guard let bytes = ownTokens?.bytes(of: token) else {
            return (try? grammar.next(state, token)) ?? nil
        }
        return (try? grammar.next(state, bytes)) ?? nil
    }
    package func forced(in state: Int32) -> [Int32] { grammar.forced(state) }
    package func mayEnd(in state: Int32) -> Bool { grammar.mayEnd(state) }
    package func mayContinue(in state: Int32) -> Bool { grammar.mayContinue(state) }
}

/// Tokens of an adapter that a grammar's vocabulary lacks, or has otherwise.
struct OwnTokens: Sendable {
    /// One after another, by their places here.
    let vocabulary: TokenVocabulary
    private let ids: [Int32]
    private let places: [Int32: Int]

    /// - Returns: nil when there are none.
    init?(_ tokenizer: Tokenizer, over base: Tokenizer, among candidates: [Int]) {
        var (ids, bytes): ([Int32], [[UInt8]?]) = ([], [])
        for id in candidates {
            let own = tokenizer.grammarBytes(of: id)
            guard own != base.grammarBytes(of: id) else { continue }
            ids.append(Int32(id))
            bytes.append(own)
        }
        guard !ids.isEmpty else { return nil }
        self.ids = ids
        places = Dictionary(zip(ids, ids.indices)) { first, _ in first }
        vocabulary = TokenVocabulary(bytes)
    }

    func bytes(of token: Int32) -> [UInt8]? { places[token].flatMap { vocabulary.bytes(of: $0) } }

    /// Puts a mask of these tokens into one of all.
    func put(_ own: [UInt64], into mask: inout [UInt64]) {
        for (place, id) in ids.enumerated() {
            let (word, bit) = (Int(id) / 64, UInt64(1) << UInt64(id % 64))
            while mask.count <= word { mask.append(0) }
            let isAllowed = own[place / 64] >> UInt64(place % 64) & 1 == 1
            if isAllowed { mask[word] |= bit } else { mask[word] &= ~bit }
        }
    }
}
