public import JSONTree

/// Whether values are what a schema's grammar lets a model write.
public struct SchemaChecker {
    private var machine: Machine
    private let integersHaveNoPoint: Bool

    /// - Throws: `GrammarError` for a schema that cannot be enforced exactly.
    public init(_ schema: JSON) throws(GrammarError) {
        var languages = RegularLanguages()
        let grammar = try SchemaGrammar(schema, &languages)
        integersHaveNoPoint = grammar.integersHaveNoPoint
        machine = try Machine(grammar, languages)
    }

    /// - Throws: `GrammarError` with `tooComplex` when the value takes too much to read.
    public mutating func accepts(_ value: JSON) throws(GrammarError) -> Bool {
        var state = machine.start
        for byte in CanonicalJSON.bytes(of: value, keepsPoints: integersHaveNoPoint) {
            machine.allow(work: Machine.mostWork)
            guard let next = try machine.next(state, byte) else { return false }
            state = next
        }
        return machine.accepts(state)
    }
}
