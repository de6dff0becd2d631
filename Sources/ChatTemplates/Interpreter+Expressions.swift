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
        case .dictionary(let members):
            var dictionary = Value.Dictionary()
            for (key, value) in members {
                let key = try evaluate(key)
                let value = try evaluate(value)
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
            return try Operators.apply(symbol, left, try evaluate(right), &self)
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
        for (name, value) in arguments.named { result.named.append((name, try evaluate(value))) }
        return result
    }

    // MARK: Members

    mutating func attribute(
        _ name: String, of base: Value
    ) throws(TemplateError) -> Value {
        if case .undefined = base { throw fail("\(base.kind) has no attribute \(name)") }
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
        case .string(let text): try spend(bytes: text.utf8.count)
        case .list(let elements): try spend(elements.count)
        default: break
        }
        return method
    }

    mutating func member(_ key: Value, of base: Value) throws(TemplateError) -> Value? {
        switch base {
        case .dictionary(let dictionary):
            try spend(dictionary.scanCount(for: key))
            return dictionary[key]
        case .namespace(let namespace):
            guard case .string(let name) = key else { return nil }
            return namespace.members[name]
        case .list(let elements):
            guard let index = key.integer else { return nil }
            let place = index < 0 ? index + elements.count : index
            return elements.indices.contains(place) ? elements[place] : nil
        case .string(let text):
            guard let index = key.integer else { return nil }
            try spend(bytes: text.utf8.count)
            let scalars = text.unicodeScalars
            let place =
                index < 0
                ? scalars.index(scalars.endIndex, offsetBy: index, limitedBy: scalars.startIndex)
                : scalars.index(scalars.startIndex, offsetBy: index, limitedBy: scalars.endIndex)
            guard let place, place < scalars.endIndex else { return nil }
            return .string(String(scalars[place]))
        default: return nil
        }
    }

    /// Looks up `a.b.c`, as the filters that take an attribute do.
    mutating func path(_ path: String, in value: Value) throws(TemplateError) -> Value {
        var found = value
        for part in path.split(separator: ".") {
            var next = try member(.string(String(part)), of: found)
            if next == nil, let index = Int(part) { next = try member(.integer(index), of: found) }
            guard let next else { return .undefined(path) }
            found = next
        }
        return found
    }

    mutating func slice(_ base: Value, _ start: Int?, _ stop: Int?, _ step: Int)
        throws(TemplateError) -> Value
    {
        if case .string(let text) = base { try spend(text.utf8.count / 8) }
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
