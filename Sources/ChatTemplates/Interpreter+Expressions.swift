/// Expressions.
extension Interpreter {
    func lookUp(_ name: String) -> Value? {
        for scope in scopes.reversed() {
            if let value = scope[name] { return value }
        }
        return nil
    }

    mutating func evaluate(_ expression: Expression) throws(TemplateError) -> Value {
        try enter()
        defer { frameCount -= 1 }
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
            if values.contains(where: \.isContainer) { try weigh(.list(values)) }
            return .list(values)
        case .tuple(let elements):
            var values: [Value] = []
            for element in elements { values.append(try evaluate(element)) }
            if values.contains(where: \.isContainer) { try weigh(.list(values)) }
            return .tuple(values)
        case .dictionary(let members):
            var dictionary = Value.Dictionary()
            for (key, value) in members {
                let key = try evaluate(key)
                let value = try evaluate(value)
                guard key.isHashable else { throw fail("\(key.kind) is no key") }
                if key.isContainer || value.isContainer { try weigh(.list([key, value])) }
                try spend(dictionary.scanCount(for: key))
                dictionary[key] = value
            }
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
                switch try bound.map({ (bound) throws(TemplateError) in try evaluate(bound) }) {
                case nil, Value.none?: bounds.append(nil)
                case let value?:
                    // As Jinja has it, what cannot be sliced so is undefined.
                    guard let integer = value.integer else { return .undefined("") }
                    bounds.append(integer)
                }
            }
            return try slice(base, bounds[0], bounds[1], bounds[2] ?? 1)
        case .call(let callee, let arguments):
            var callee = try evaluate(callee)
            if case .namespace(let namespace) = callee, let call = namespace.call {
                callee = .function(call)
            }
            guard case .function(let function) = callee else {
                throw fail("cannot call \(callee.kind)")
            }
            return try bounded(try function.call(&self, try evaluate(arguments)))
        case .filter(let value, let name, let arguments):
            let value = try evaluate(value)
            return try Filters.apply(name, to: value, try weighed(arguments), &self)
        case .test(let value, let name, let arguments, let isNegated):
            let value = try evaluate(value)
            let holds = try Tests.holds(name, value, try weighed(arguments), &self)
            return .bool(holds != isNegated)
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
            return try bounded(try Operators.apply(symbol, left, try evaluate(right), &self))
        case .conditional(let value, let condition, let otherwise):
            if try evaluate(condition).isTrue { return try evaluate(value) }
            return try otherwise.map { (expression) throws(TemplateError) in
                try evaluate(expression)
            }
                ?? .undefined("")
        }
    }

    /// Arguments that may be written or compared however large they are.
    mutating func weighed(
        _ arguments: Expression.Arguments
    ) throws(TemplateError) -> CallArguments {
        let result = try evaluate(arguments)
        for value in result.positional + result.named.map(\.value) where value.isContainer {
            try weigh(value)
        }
        return result
    }

    mutating func evaluate(
        _ arguments: Expression.Arguments
    ) throws(TemplateError) -> CallArguments {
        var result = CallArguments()
        for argument in arguments.positional { result.positional.append(try evaluate(argument)) }
        for (name, value) in arguments.named {
            guard !result.named.contains(where: { $0.name == name }) else {
                throw fail("the argument \(name) is given twice")
            }
            result.named.append((name, try evaluate(value)))
        }
        return result
    }

    // MARK: Members

    mutating func attribute(
        _ name: String, of base: Value
    ) throws(TemplateError) -> Value {
        if case .undefined = base { throw fail("\(base.kind) has no attribute \(name)") }
        if Methods.isUnsafe(name, of: base) { return .undefined(name) }
        if case .function = base { throw fail("attributes of a function are not supported") }
        if let method = try method(name, of: base) { return method }
        return try member(.string(name), of: base) ?? .undefined(name)
    }

    mutating func item(_ key: Value, of base: Value) throws(TemplateError) -> Value {
        if case .undefined = base { throw fail("\(base.kind) has no items") }
        if let value = try member(key, of: base) { return value }
        if case .string(let name) = key, let method = try method(name, of: base) { return method }
        return .undefined(key.isContainer ? "" : key.text)
    }

    mutating func method(_ name: String, of base: Value) throws(TemplateError) -> Value? {
        guard let method = Methods.method(name, of: base) else { return nil }
        // What any of them may have to look through.
        switch base {
        case .string(let text), .markup(let text): try spend(bytes: text.utf8.count)
        case .list(let elements): try spend(elements.count)
        case .sequence(let sequence): try spend(sequence.waiting.count)
        default: break
        }
        return method
    }

    mutating func member(_ key: Value, of base: Value) throws(TemplateError) -> Value? {
        switch base {
        case .dictionary(let dictionary):
            guard key.isHashable else { return nil }
            try spend(dictionary.scanCount(for: key))
            return dictionary[key]
        case .namespace(let namespace):
            guard case .string(let name) = key else { return nil }
            return namespace[name]
        case .list(let elements): return element(key, of: elements)
        case .sequence(let sequence):
            return sequence.isIndexed ? element(key, of: sequence.waiting) : nil
        case .string(let text), .markup(let text):
            guard let index = key.integer else { return nil }
            try spend(bytes: text.utf8.count)
            let scalars = text.unicodeScalars
            let place =
                index < 0
                ? scalars.index(scalars.endIndex, offsetBy: index, limitedBy: scalars.startIndex)
                : scalars.index(scalars.startIndex, offsetBy: index, limitedBy: scalars.endIndex)
            guard let place, place < scalars.endIndex else { return nil }
            let one = String(scalars[place])
            if case .markup = base { return .markup(one) }
            return .string(one)
        default: return nil
        }
    }

    private func element(_ key: Value, of elements: [Value]) -> Value? {
        guard let index = key.integer else { return nil }
        let place = index < 0 ? index &+ elements.count : index
        return elements.indices.contains(place) ? elements[place] : nil
    }

    /// Looks up `a.b.c`, as the filters that take an attribute do.
    ///
    /// - Parameter fallback: in place of what is not there, wherever on the way.
    mutating func path(
        _ path: String, in value: Value, fallback: Value? = nil
    ) throws(TemplateError) -> Value {
        var found = value
        for part in path.split(separator: ".") {
            // Digits are a place, and nothing else.
            let isPlace = part.utf8.allSatisfy { (0x30...0x39).contains($0) }
            guard !isPlace || Int(part) != nil else { return .undefined(path) }
            found = try item(
                isPlace ? .integer(Int(part) ?? 0) : .string(String(part)), of: found)
            if found.isUndefined, let fallback { found = fallback }
        }
        return found
    }

    mutating func slice(_ base: Value, _ start: Int?, _ stop: Int?, _ step: Int)
        throws(TemplateError) -> Value
    {
        if let text = base.string { try spend(text.utf8.count / 8) }
        let elements: [Value]
        switch base {
        case .string, .markup, .list: elements = base.elements ?? []
        case .sequence(let sequence) where sequence.isIndexed: elements = sequence.waiting
        case .undefined: throw fail("cannot slice \(base.kind)")
        default: return .undefined("")
        }
        guard step != 0 else { throw fail("a slice's step is zero") }
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
        switch base {
        case .string: return .string(picked.map(\.text).joined())
        case .markup: return .markup(picked.map(\.text).joined())
        case .sequence(let sequence):
            guard case .range(let first, _, let stride) = sequence.kind else {
                return .tuple(picked)
            }
            // As Python writes a part of a range.
            let low = step > 0 ? bound(start, 0, 0, count) : bound(start, count - 1, -1, count - 1)
            let high = step > 0 ? bound(stop, count, 0, count) : bound(stop, -1, -1, count - 1)
            let (by, overflows) = stride.multipliedReportingOverflow(by: step)
            guard !overflows else { throw fail("a number out of range") }
            return .sequence(
                Value.Sequence(
                    .range(start: first + low * stride, stop: first + high * stride, step: by),
                    picked))
        default: return .list(picked)
        }
    }
}
