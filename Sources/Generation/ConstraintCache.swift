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
    /// Tokens of an adapter by what they are, whatever the grammar's tokens of these numbers are.
    private let ownTokens: [Int32: [UInt8]]

    init(_ grammar: CompiledGrammar, over ownTokens: [Int32: [UInt8]] = [:]) {
        self.grammar = grammar
        self.ownTokens = ownTokens
    }

    /// The same for an adapter that has tokens of its own.
    func over(_ ownTokens: [Int32: [UInt8]]) -> GrammarConstraint {
        GrammarConstraint(grammar, over: ownTokens)
    }

    package var start: Int32 { grammar.start }
    package func allowed(in state: Int32) -> AllowedTokens {
        do {
            guard var mask = try grammar.mask(state, work: Self.workAtOnce) else {
                return .pending
            }
            for (token, bytes) in ownTokens {
                let (word, bit) = (Int(token) / 64, UInt64(1) << UInt64(token % 64))
                while mask.count <= word { mask.append(0) }
                mask[word] &= ~bit
                if try grammar.next(state, bytes) != nil { mask[word] |= bit }
            }
            return .mask(mask)
        } catch {
            return .unknown
        }
    }
    /// Some milliseconds' worth: nearly every mask takes less.
    private static let workAtOnce = 4_000
    package func next(_ state: Int32, _ token: Int32) -> Int32? {
        guard let bytes = ownTokens[token] else { return (try? grammar.next(state, token)) ?? nil }
        return (try? grammar.next(state, bytes)) ?? nil
    }
    package func forced(in state: Int32) -> [Int32] { grammar.forced(state) }
    package func mayEnd(in state: Int32) -> Bool { grammar.mayEnd(state) }
    package func mayContinue(in state: Int32) -> Bool { grammar.mayContinue(state) }
}
