/// Runs a template's statements under limits on steps, output and depth.
struct Interpreter {
    private(set) var output = ""
    private var scopes: [[String: Value]]
    private var line = 1
    private var stepCount = 0
    private var depth = 0
    private let limits: ChatTemplate.Limits

    private enum Flow { case next, breakLoop, continueLoop }

    init(variables: [String: Value], limits: ChatTemplate.Limits) {
        scopes = [variables]
        self.limits = limits
    }

    mutating func run(_ statements: [Statement]) throws(TemplateError) {
        _ = try execute(statements)
    }

    func fail(_ message: String, _ kind: TemplateError.Kind = .runtime) -> TemplateError {
        TemplateError(kind, message, line: line)
    }

    /// Counts work, so that a template cannot run for ever.
    mutating func spend(_ steps: Int = 1) throws(TemplateError) {
        stepCount += steps
        guard stepCount <= limits.stepCount else {
            throw fail("more than \(limits.stepCount) steps", .limit)
        }
    }

    private mutating func write(_ text: String) throws(TemplateError) {
        guard output.utf8.count + text.utf8.count <= limits.outputByteCount else {
            throw fail("more than \(limits.outputByteCount) bytes of output", .limit)
        }
        output += text
    }

    private mutating func nested<Result>(
        _ body: (inout Interpreter) throws(TemplateError) -> Result
    ) throws(TemplateError) -> Result {
        depth += 1
        defer { depth -= 1 }
        guard depth <= limits.depth else {
            throw fail("nested deeper than \(limits.depth) levels", .limit)
        }
        return try body(&self)
    }

    // MARK: Statements

    private mutating func execute(_ statements: [Statement]) throws(TemplateError) -> Flow {
        for statement in statements {
            let flow = try execute(statement)
            if flow != .next { return flow }
        }
        return .next
    }

    private mutating func execute(_ statement: Statement) throws(TemplateError) -> Flow {
        try spend()
        switch statement {
        case .text(let text): try write(text)
        case .located(let line, let statement):
            self.line = line
            return try execute(statement)
        case .output(let expression): try write(try evaluate(expression).text)
        case .set(let target, let expression): try assign(try evaluate(expression), to: target)
        case .setBlock(let target, let body):
            try assign(.string(try captured(body)), to: target)
        case .group(let body): return try execute(body)
        case .conditional(let branches, let otherwise):
            for (condition, body) in branches where try evaluate(condition).isTrue {
                return try execute(body)
            }
            return try execute(otherwise)
        case .loop(let loop): try execute(loop, over: nil, level: 0)
        case .macro(let macro): scopes[scopes.count - 1][macro.name] = function(macro)
        case .call(let expression, let body):
            scopes.append([
                "caller": .function(
                    Value.Function(name: "caller") { (interpreter, _) throws(TemplateError) in
                        .string(try interpreter.captured(body))
                    })
            ])
            defer { scopes.removeLast() }
            try write(try evaluate(expression).text)
        case .filter(let filter, let body):
            scopes.append(["": .string(try captured(body))])
            defer { scopes.removeLast() }
            try write(try evaluate(filter).text)
        case .breakLoop: return .breakLoop
        case .continueLoop: return .continueLoop
        }
        return .next
    }

    /// The output of some statements, kept from the template's.
    private mutating func captured(_ body: [Statement]) throws(TemplateError) -> String {
        let before = output
        output = ""
        defer { output = before }
        scopes.append([:])
        defer { scopes.removeLast() }
        _ = try execute(body)
        return output
    }

    private mutating func assign(_ value: Value, to target: Statement.Target) throws(TemplateError)
    {
        switch target {
        case .name(let name): scopes[scopes.count - 1][name] = value
        case .names(let names):
            guard let elements = value.elements, elements.count == names.count else {
                throw fail("cannot unpack \(value.kind) into \(names.count) names")
            }
            for (name, element) in zip(names, elements) { scopes[scopes.count - 1][name] = element }
        case .attribute(let name, let attribute):
            guard case .namespace(let namespace)? = lookUp(name) else {
                throw fail("cannot set an attribute of \(name), which is not a namespace")
            }
            namespace.members[attribute] = value
        }
    }

    private mutating func execute(
        _ loop: Statement.Loop, over given: Value?, level: Int
    ) throws(TemplateError) {
        let iterable: Value
        if let given { iterable = given } else { iterable = try evaluate(loop.iterable) }
        guard var elements = iterable.elements else {
            throw fail("cannot loop over \(iterable.kind)")
        }
        scopes.append([:])
        defer { scopes.removeLast() }
        if let condition = loop.condition {
            var kept: [Value] = []
            for element in elements {
                try spend()
                try assign(element, to: loop.target)
                if try evaluate(condition).isTrue { kept.append(element) }
            }
            elements = kept
        }
        if elements.isEmpty {
            _ = try execute(loop.otherwise)
            return
        }
        for (index, element) in elements.enumerated() {
            try spend()
            scopes[scopes.count - 1] = [:]
            try assign(element, to: loop.target)
            scopes[scopes.count - 1]["loop"] = loopValue(elements, index, loop, level)
            let flow = try nested { (interpreter) throws(TemplateError) in
                try interpreter.execute(loop.body)
            }
            if flow == .breakLoop { break }
        }
    }

    private func loopValue(
        _ elements: [Value], _ index: Int, _ loop: Statement.Loop, _ level: Int
    ) -> Value {
        let namespace = Value.Namespace()
        let count = elements.count
        namespace.members = [
            "index": .integer(index + 1), "index0": .integer(index),
            "revindex": .integer(count - index), "revindex0": .integer(count - index - 1),
            "first": .bool(index == 0), "last": .bool(index == count - 1),
            "length": .integer(count), "depth": .integer(level + 1), "depth0": .integer(level),
            "previtem": index > 0 ? elements[index - 1] : .undefined("loop.previtem"),
            "nextitem": index + 1 < count ? elements[index + 1] : .undefined("loop.nextitem"),
            "cycle": .function(
                Value.Function(name: "cycle") { (_, arguments) throws(TemplateError) in
                    arguments.positional.isEmpty
                        ? .none : arguments.positional[index % arguments.positional.count]
                }),
        ]
        if loop.isRecursive {
            namespace.members[""] = .function(
                Value.Function(name: "loop") { (interpreter, arguments) throws(TemplateError) in
                    let before = interpreter.output
                    interpreter.output = ""
                    defer { interpreter.output = before }
                    try interpreter.nested { (interpreter) throws(TemplateError) in
                        try interpreter.execute(
                            loop, over: arguments.value(0, "iterable") ?? .list([]),
                            level: level + 1)
                    }
                    return .string(interpreter.output)
                })
        }
        return .namespace(namespace)
    }

    private func function(_ macro: Statement.Macro) -> Value {
        .function(
            Value.Function(name: macro.name) { (interpreter, arguments) throws(TemplateError) in
                guard arguments.positional.count <= macro.parameters.count else {
                    throw interpreter.fail(
                        "\(macro.name) takes \(macro.parameters.count) arguments at most")
                }
                for (name, _) in arguments.named
                where !macro.parameters.contains(where: { $0.name == name }) {
                    throw interpreter.fail("\(macro.name) has no parameter \(name)")
                }
                return try interpreter.nested { (interpreter) throws(TemplateError) in
                    // A macro sees the template's own names, not those where it is called.
                    let outer = interpreter.scopes
                    interpreter.scopes = [outer[0], [:]]
                    defer { interpreter.scopes = [interpreter.scopes[0]] + outer.dropFirst() }
                    if let caller = outer.last?["caller"] {
                        interpreter.scopes[1]["caller"] = caller
                    }
                    for (index, parameter) in macro.parameters.enumerated() {
                        var value = arguments.value(index, parameter.name)
                        if value == nil, let fallback = parameter.fallback {
                            value = try interpreter.evaluate(fallback)
                        }
                        interpreter.scopes[1][parameter.name] = value ?? .undefined(parameter.name)
                    }
                    return .string(try interpreter.captured(macro.body))
                }
            })
    }

    // MARK: Expressions

    private func lookUp(_ name: String) -> Value? {
        for scope in scopes.reversed() {
            if let value = scope[name] { return value }
        }
        return nil
    }

    mutating func evaluate(_ expression: Expression) throws(TemplateError) -> Value {
        try spend()
        switch expression {
        case .literal(let literal): return Value(literal)
        case .located(let line, let expression):
            self.line = line
            return try nested { (interpreter) throws(TemplateError) in
                try interpreter.evaluate(expression)
            }
        case .name(let name): return lookUp(name) ?? Builtins.function(name) ?? .undefined(name)
        case .list(let elements):
            var values: [Value] = []
            for element in elements { values.append(try evaluate(element)) }
            return .list(values)
        case .dictionary(let members):
            var dictionary = Value.Dictionary()
            for (key, value) in members { dictionary[try evaluate(key)] = try evaluate(value) }
            return .dictionary(dictionary)
        case .attribute(let base, let name):
            let base = try evaluate(base)
            return try attribute(name, of: base)
        case .item(let base, let key):
            let base = try evaluate(base)
            return try item(try evaluate(key), of: base)
        case .slice(let base, let start, let stop, let step):
            let base = try evaluate(base)
            var bounds: [Int?] = []
            for bound in [start, stop, step] {
                guard let bound else {
                    bounds.append(nil)
                    continue
                }
                let value = try evaluate(bound)
                if case .none = value {
                    bounds.append(nil)
                } else if let integer = value.integer {
                    bounds.append(integer)
                } else {
                    throw fail("a slice needs integers")
                }
            }
            return try slice(base, bounds[0], bounds[1], bounds[2] ?? 1)
        case .call(let callee, let arguments):
            var callee = try evaluate(callee)
            if case .namespace(let namespace) = callee, let call = namespace.members[""] {
                callee = call
            }
            guard case .function(let function) = callee else {
                throw fail("cannot call \(callee.kind)")
            }
            return try function.call(&self, try evaluate(arguments))
        case .filter(let value, let name, let arguments):
            let value = try evaluate(value)
            return try Filters.apply(name, to: value, try evaluate(arguments), &self)
        case .test(let value, let name, let arguments, let isNegated):
            let value = try evaluate(value)
            return .bool(try Tests.holds(name, value, try evaluate(arguments), self) != isNegated)
        case .unary(let symbol, let operand):
            let value = try evaluate(operand)
            if symbol == "not" { return .bool(!value.isTrue) }
            return try Operators.negated(value, symbol, self)
        case .binary("and", let left, let right):
            let left = try evaluate(left)
            return left.isTrue ? try evaluate(right) : left
        case .binary("or", let left, let right):
            let left = try evaluate(left)
            return left.isTrue ? left : try evaluate(right)
        case .binary(let symbol, let left, let right):
            let left = try evaluate(left)
            return try Operators.apply(symbol, left, try evaluate(right), &self)
        case .conditional(let value, let condition, let otherwise):
            if try evaluate(condition).isTrue { return try evaluate(value) }
            return try otherwise.map { (expression) throws(TemplateError) in
                try evaluate(expression)
            }
                ?? .undefined("")
        }
    }

    private mutating func evaluate(
        _ arguments: Expression.Arguments
    ) throws(TemplateError) -> CallArguments {
        var result = CallArguments()
        for argument in arguments.positional { result.positional.append(try evaluate(argument)) }
        for (name, value) in arguments.named { result.named.append((name, try evaluate(value))) }
        return result
    }

    // MARK: Members

    private func attribute(_ name: String, of base: Value) throws(TemplateError) -> Value {
        if case .undefined = base { throw fail("\(base.kind) has no attribute \(name)") }
        if let method = Methods.method(name, of: base) { return method }
        return member(.string(name), of: base) ?? .undefined(name)
    }

    private func item(_ key: Value, of base: Value) throws(TemplateError) -> Value {
        if case .undefined = base { throw fail("\(base.kind) has no items") }
        if let value = member(key, of: base) { return value }
        if case .string(let name) = key, let method = Methods.method(name, of: base) {
            return method
        }
        return .undefined(key.text)
    }

    private func member(_ key: Value, of base: Value) -> Value? {
        switch base {
        case .dictionary(let dictionary): return dictionary[key]
        case .namespace(let namespace):
            guard case .string(let name) = key else { return nil }
            return namespace.members[name]
        case .list, .string:
            guard let index = key.integer, let elements = base.elements else { return nil }
            let place = index < 0 ? index + elements.count : index
            return elements.indices.contains(place) ? elements[place] : nil
        default: return nil
        }
    }

    /// Looks up `a.b.c`, as the filters that take an attribute do.
    func path(_ path: String, in value: Value) -> Value {
        path.split(separator: ".").reduce(value) { value, part in
            member(.string(String(part)), of: value)
                ?? Int(part).flatMap { member(.integer($0), of: value) } ?? .undefined(path)
        }
    }

    private func slice(_ base: Value, _ start: Int?, _ stop: Int?, _ step: Int)
        throws(TemplateError) -> Value
    {
        guard step != 0 else { throw fail("a slice's step is zero") }
        guard let elements = base.elements, !base.isUndefined else {
            throw fail("cannot slice \(base.kind)")
        }
        let count = elements.count
        func bound(_ value: Int?, _ fallback: Int, _ low: Int, _ high: Int) -> Int {
            guard let value else { return fallback }
            return max(low, min(high, value < 0 ? value + count : value))
        }
        let picked: [Value] =
            step > 0
            ? Swift.stride(
                from: bound(start, 0, 0, count), to: bound(stop, count, 0, count), by: step
            ).map { elements[$0] }
            : Swift.stride(
                from: bound(start, count - 1, -1, count - 1), to: bound(stop, -1, -1, count - 1),
                by: step
            ).map { elements[$0] }
        if case .string = base { return .string(picked.map(\.text).joined()) }
        return .list(picked)
    }
}
