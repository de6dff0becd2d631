internal import JSONTree

/// Runs a template's statements under limits on steps, output and depth.
struct Interpreter {
    private(set) var output = ""
    var scopes: [[String: Value]]
    var line = 1
    var stepCount = 0
    var depth = 0
    var frameCount = 0
    var namespaces: [Value.Namespace] = []
    let limits: ChatTemplate.Limits

    enum Flow { case next, breakLoop, continueLoop }

    init(variables: [String: Value], limits: ChatTemplate.Limits) {
        scopes = [variables]
        self.limits = limits
    }

    mutating func run(_ statements: [Statement]) throws(TemplateError) {
        defer { for namespace in namespaces { namespace.removeAll() } }
        _ = try execute(statements)
    }

    func fail(_ message: String, _ kind: TemplateError.Kind = .runtime) -> TemplateError {
        TemplateError(kind, message, line: line)
    }

    // MARK: Limits

    /// Counts work, so that a template cannot run for ever.
    mutating func spend(_ steps: Int = 1) throws(TemplateError) {
        let (sum, overflows) = stepCount.addingReportingOverflow(max(0, steps))
        guard !overflows, sum <= limits.stepCount else {
            throw fail("more than \(limits.stepCount) steps", .limit)
        }
        stepCount = sum
    }

    /// Counts the bytes of a text before it is made or looked through.
    mutating func spend(bytes: Int) throws(TemplateError) {
        guard bytes <= limits.outputByteCount else {
            throw fail("a text of more than \(limits.outputByteCount) bytes", .limit)
        }
        try spend(bytes / Interpreter.bytesPerStep)
    }

    /// What was made here, unless comparing it would take long.
    func bounded(_ value: Value) throws(TemplateError) -> Value {
        switch value {
        case .string(let text) where text.hasTooManyMarks,
            .markup(let text) where text.hasTooManyMarks:
            throw fail("a text with \(String.tooManyMarks)", .limit)
        default: return value
        }
    }

    /// How large a value is that is to be written, compared or put into another one.
    struct Weight {
        var byteCount = 0
        var nodeCount = 0
        /// What cannot be written: its text would be an address.
        var unwritable: String?
    }

    static let bytesPerStep = 64
    /// Lists in lists, and calls of the interpreter in itself: what its stack holds.
    static let valueDepth = 200
    static let frameLimit = 2000

    /// Weighs a value, and counts the work that going through it takes.
    @discardableResult
    mutating func weigh(_ value: Value) throws(TemplateError) -> Weight {
        var weight = Weight()
        try weigh(value, depth: 0, into: &weight)
        return weight
    }

    mutating func weigh(
        _ value: Value, depth: Int, into weight: inout Weight
    ) throws(TemplateError) {
        guard depth <= Interpreter.valueDepth else {
            throw fail("values nested deeper than \(Interpreter.valueDepth) levels", .limit)
        }
        weight.nodeCount += 1
        switch value {
        case .string(let text), .markup(let text):
            weight.byteCount += text.utf8.count
            try spend(1 + text.utf8.count / Interpreter.bytesPerStep)
        case .list(let elements):
            try spend()
            for element in elements { try weigh(element, depth: depth + 1, into: &weight) }
        case .sequence(let sequence):
            try spend()
            if sequence.kind == .generator { weight.unwritable = value.kind }
            for element in sequence.waiting {
                try weigh(element, depth: depth + 1, into: &weight)
            }
        case .function(let function) where !function.isMacro:
            try spend()
            weight.unwritable = value.kind
        case .dictionary(let dictionary):
            try spend()
            for (key, value) in dictionary.members {
                try weigh(key, depth: depth + 1, into: &weight)
                try weigh(value, depth: depth + 1, into: &weight)
            }
        default: try spend()
        }
        guard weight.byteCount <= limits.outputByteCount else {
            throw fail("a value of more than \(limits.outputByteCount) bytes", .limit)
        }
    }

    /// The text of a value, weighed before it is made.
    mutating func text(of value: Value) throws(TemplateError) -> String {
        if let what = try weigh(value).unwritable { throw fail("cannot write \(what)") }
        return value.text
    }

    /// A namespace can hold itself; it is emptied when the rendering ends.
    mutating func makeNamespace() -> Value.Namespace {
        let namespace = Value.Namespace()
        namespaces.append(namespace)
        return namespace
    }

    mutating func write(_ text: String) throws(TemplateError) {
        guard output.utf8.count + text.utf8.count <= limits.outputByteCount else {
            throw fail("more than \(limits.outputByteCount) bytes of output", .limit)
        }
        output += text
    }

    /// One more call of the interpreter in itself.
    mutating func enter() throws(TemplateError) {
        frameCount += 1
        guard frameCount <= Interpreter.frameLimit else {
            throw fail("nested too deep", .limit)
        }
    }

    mutating func nested<Result>(
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

    mutating func execute(_ statements: [Statement]) throws(TemplateError) -> Flow {
        for statement in statements {
            let flow = try execute(statement)
            if flow != .next { return flow }
        }
        return .next
    }

    mutating func execute(_ statement: Statement) throws(TemplateError) -> Flow {
        try enter()
        defer { frameCount -= 1 }
        try spend()
        switch statement {
        case .text(let text): try write(text)
        case .located(let line, let statement):
            self.line = line
            return try execute(statement)
        case .output(let expression): try write(try text(of: try evaluate(expression)))
        case .set(let target, let expression): try assign(try evaluate(expression), to: target)
        case .setBlock(let target, let body):
            try assign(.string(try captured(body)), to: target)
        case .group(let body):
            scopes.append([:])
            defer { scopes.removeLast() }
            return try execute(body)
        case .conditional(let branches, let otherwise):
            for (condition, body) in branches where try evaluate(condition).isTrue {
                return try execute(body)
            }
            return try execute(otherwise)
        case .loop(let loop): try execute(loop, over: nil, level: 0)
        case .macro(let macro): scopes[scopes.count - 1][macro.name] = function(macro)
        case .call(let callee, let arguments, let caller):
            guard case .function(let function) = try evaluate(callee) else {
                throw fail("call needs a macro")
            }
            let values = try evaluate(arguments)
            scopes.append([Interpreter.callerName: self.function(caller)])
            defer { scopes.removeLast() }
            try write(try text(of: try function.call(&self, values)))
        case .filter(let filter, let body):
            scopes.append(["": .string(try captured(body))])
            defer { scopes.removeLast() }
            try write(try text(of: try evaluate(filter)))
        case .with(let bindings, let body):
            var scope: [String: Value] = [:]
            for (name, value) in bindings { scope[name] = try evaluate(value) }
            scopes.append(scope)
            defer { scopes.removeLast() }
            return try execute(body)
        case .breakLoop: return .breakLoop
        case .continueLoop: return .continueLoop
        }
        return .next
    }

    /// The output of some statements, kept from the template's.
    mutating func captured(_ body: [Statement]) throws(TemplateError) -> String {
        let before = output
        output = ""
        defer { output = before }
        scopes.append([:])
        defer { scopes.removeLast() }
        _ = try execute(body)
        _ = try bounded(.string(output))
        return output
    }

    mutating func assign(_ value: Value, to target: Statement.Target) throws(TemplateError) {
        switch target {
        case .name(let name): scopes[scopes.count - 1][name] = value
        case .names(let names):
            guard let elements = value.elements, elements.count == names.count else {
                throw fail("cannot unpack \(value.kind) into \(names.count) names")
            }
            for (name, element) in zip(names, elements) { scopes[scopes.count - 1][name] = element }
        case .attribute(let name, let attribute):
            guard case .namespace(let namespace)? = lookUp(name), namespace.label == nil else {
                throw fail("cannot set an attribute of \(name), which is not a namespace")
            }
            guard !attribute.hasPrefix("_") else { throw fail("\(attribute) is not accessible") }
            namespace[attribute] = value
        }
    }

    mutating func execute(
        _ loop: Statement.Loop, over given: Value?, level: Int
    ) throws(TemplateError) {
        let iterable: Value
        if let given { iterable = given } else { iterable = try evaluate(loop.iterable) }
        if let text = iterable.string { try spend(text.utf8.count) }
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

    func loopValue(
        _ elements: [Value], _ index: Int, _ loop: Statement.Loop, _ level: Int
    ) -> Value {
        let count = elements.count
        let namespace = Value.Namespace(label: "<LoopContext \(index + 1)/\(count)>")
        let members: [String: Value] = [
            "index": .integer(index + 1), "index0": .integer(index),
            "revindex": .integer(count - index), "revindex0": .integer(count - index - 1),
            "first": .bool(index == 0), "last": .bool(index == count - 1),
            "length": .integer(count), "depth": .integer(level + 1), "depth0": .integer(level),
            "previtem": index > 0 ? elements[index - 1] : .undefined("loop.previtem"),
            "nextitem": index + 1 < count ? elements[index + 1] : .undefined("loop.nextitem"),
            "cycle": .function(
                Value.Function(name: "cycle") { (interpreter, arguments) throws(TemplateError) in
                    guard !arguments.positional.isEmpty else {
                        throw interpreter.fail("loop.cycle needs values")
                    }
                    return arguments.positional[index % arguments.positional.count]
                }),
        ]
        for (name, value) in members { namespace[name] = value }
        if loop.isRecursive {
            namespace.call =
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
                }
        }
        return .namespace(namespace)
    }

    /// Where a call block's body waits for the macro that is called; no template can name it.
    static let callerName = " caller"

    /// A macro sees the template's own names as they are when it is called, and others as they were where
    /// it is written.
    func function(_ macro: Statement.Macro) -> Value {
        let closure = Array(scopes.dropFirst())
        var function = Value.Function(name: macro.name) {
            (interpreter, arguments) throws(TemplateError) in
            try interpreter.call(macro, arguments, closure)
        }
        function.isMacro = true
        return .function(function)
    }

    private mutating func call(
        _ macro: Statement.Macro, _ arguments: CallArguments, _ closure: [[String: Value]]
    ) throws(TemplateError) -> Value {
        let parameters = macro.parameters
        let extra = arguments.positional.dropFirst(parameters.count)
        guard extra.isEmpty || macro.usesVarargs else {
            throw fail("\(macro.name) takes \(parameters.count) arguments at most")
        }
        var others = Value.Dictionary()
        for (name, value) in arguments.named {
            let place = parameters.firstIndex { $0.name == name }
            guard place.map({ $0 >= arguments.positional.count }) ?? macro.usesKwargs else {
                throw fail("\(macro.name) does not take \(name), or has it already")
            }
            if place == nil { others[.string(name)] = value }
        }
        let caller = scopes.last?[Interpreter.callerName]
        guard caller == nil || macro.usesCaller else {
            throw fail("\(macro.name) does not call its caller")
        }
        return try nested { (interpreter) throws(TemplateError) in
            let outer = interpreter.scopes
            interpreter.scopes = [outer[0]] + closure + [[:]]
            defer { interpreter.scopes = [interpreter.scopes[0]] + outer.dropFirst() }
            let last = interpreter.scopes.count - 1
            if let caller { interpreter.scopes[last]["caller"] = caller }
            if macro.usesVarargs { interpreter.scopes[last]["varargs"] = .tuple(Array(extra)) }
            if macro.usesKwargs { interpreter.scopes[last]["kwargs"] = .dictionary(others) }
            for (index, parameter) in parameters.enumerated() {
                var value = arguments.value(index, parameter.name)
                if value == nil, let fallback = parameter.fallback {
                    value = try interpreter.evaluate(fallback)
                }
                interpreter.scopes[last][parameter.name] = value ?? .undefined(parameter.name)
            }
            return .string(try interpreter.captured(macro.body))
        }
    }
}
