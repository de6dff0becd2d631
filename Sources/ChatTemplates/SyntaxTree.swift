/// A statement of a template.
indirect enum Statement: Sendable {
    case text(String)
    case output(Expression)
    case set(Target, Expression)
    case setBlock(Target, [Statement])
    case conditional([(condition: Expression, body: [Statement])], otherwise: [Statement])
    case loop(Loop)
    case macro(Macro)
    /// A call of a macro, with what its `caller()` does.
    case call(Expression, Expression.Arguments, caller: Macro)
    case filter(Expression, body: [Statement])
    case with([(name: String, value: Expression)], body: [Statement])
    case breakLoop
    case continueLoop
    /// A body with a scope of its own, such as `generation`.
    case group([Statement])
    case located(Int, Statement)

    enum Target: Sendable {
        case name(String)
        case names([String])
        case attribute(String, String)
    }

    struct Loop: Sendable {
        var target: Target
        var iterable: Expression
        var condition: Expression?
        var body: [Statement]
        var otherwise: [Statement]
        var isRecursive: Bool
    }

    struct Macro: Sendable {
        var name: String
        var parameters: [(name: String, fallback: Expression?)]
        var body: [Statement]
        /// Of `varargs`, `kwargs` and `caller`: a macro takes what it names.
        var usesVarargs = false
        var usesKwargs = false
        var usesCaller = false
    }
}

/// An expression of a template.
indirect enum Expression: Sendable {
    case literal(Value.Literal)
    case name(String)
    case list([Expression])
    case tuple([Expression])
    case dictionary([(Expression, Expression)])
    case attribute(Expression, String)
    case item(Expression, Expression)
    case slice(Expression, Expression?, Expression?, Expression?)
    case call(Expression, Arguments)
    case filter(Expression, String, Arguments)
    case test(Expression, String, Arguments, isNegated: Bool)
    case unary(String, Expression)
    case binary(String, Expression, Expression)
    case conditional(Expression, condition: Expression, otherwise: Expression?)
    case located(Int, Expression)

    struct Arguments: Sendable {
        var positional: [Expression] = []
        var named: [(name: String, value: Expression)] = []
    }
}
