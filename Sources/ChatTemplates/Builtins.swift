internal import Foundation

/// Functions that every template knows.
enum Builtins {
    static func function(_ name: String) -> Value? {
        switch name {
        case "raise_exception":
            return .function(
                Value.Function(name: name) { (interpreter, arguments) throws(TemplateError) in
                    let message = try interpreter.text(of: arguments.value(0, "message") ?? .none)
                    throw interpreter.fail(message, .raised)
                })
        case "namespace":
            return .function(
                Value.Function(name: name) { (interpreter, arguments) throws(TemplateError) in
                    let namespace = interpreter.makeNamespace()
                    if case .dictionary(let dictionary)? = arguments.positional.first {
                        for (key, value) in dictionary.members {
                            namespace.members[key.text] = value
                        }
                    }
                    for (name, value) in arguments.named { namespace.members[name] = value }
                    return .namespace(namespace)
                })
        case "dict":
            return .function(
                Value.Function(name: name) { (interpreter, arguments) throws(TemplateError) in
                    for (_, value) in arguments.named where value.isContainer {
                        try interpreter.weigh(.list([value]))
                    }
                    var result = Value.Dictionary()
                    if case .dictionary(let dictionary)? = arguments.positional.first {
                        result = dictionary
                    }
                    for (name, value) in arguments.named { result[.string(name)] = value }
                    return .dictionary(result)
                })
        case "range":
            return .function(
                Value.Function(name: name) { (interpreter, arguments) throws(TemplateError) in
                    let numbers = arguments.positional.compactMap(\.integer)
                    guard numbers.count == arguments.positional.count,
                        (1...3).contains(numbers.count)
                    else {
                        throw interpreter.fail("range takes one to three integers")
                    }
                    let (start, stop) =
                        numbers.count == 1 ? (0, numbers[0]) : (numbers[0], numbers[1])
                    let step = numbers.count == 3 ? numbers[2] : 1
                    guard step != 0, step.magnitude < 1 << 31, start.magnitude < 1 << 31,
                        stop.magnitude < 1 << 31
                    else { throw interpreter.fail("a range out of bounds") }
                    let count = max(0, (stop - start + (step > 0 ? step - 1 : step + 1)) / step)
                    guard count <= 100_000 else {
                        throw interpreter.fail("a range of more than 100000 numbers", .limit)
                    }
                    try interpreter.spend(count)
                    return .list(stride(from: start, to: stop, by: step).map { .integer($0) })
                })
        case "strftime_now":
            return .function(
                Value.Function(name: name) { (interpreter, arguments) throws(TemplateError) in
                    let format = arguments.value(0, "format") ?? .string("")
                    return .string(formatted(try interpreter.text(of: format)))
                })
        default: return nil
        }
    }

    /// The local time by the common letters of `strftime`.
    private static func formatted(_ format: String) -> String {
        let now = Calendar.current.dateComponents(
            [.year, .month, .day, .hour, .minute, .second, .weekday], from: Date())
        let months = [
            "January", "February", "March", "April", "May", "June", "July", "August", "September",
            "October", "November", "December",
        ]
        let days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
        func two(_ number: Int?) -> String {
            (number ?? 0) < 10 ? "0\(number ?? 0)" : "\(number ?? 0)"
        }
        let month = months[(now.month ?? 1) - 1]
        let day = days[(now.weekday ?? 1) - 1]
        var result = ""
        var scalars = format.unicodeScalars.makeIterator()
        while let scalar = scalars.next() {
            guard scalar == "%", let letter = scalars.next() else {
                result.unicodeScalars.append(scalar)
                continue
            }
            switch letter {
            case "Y": result += "\(now.year ?? 0)"
            case "y": result += two((now.year ?? 0) % 100)
            case "m": result += two(now.month)
            case "d": result += two(now.day)
            case "H": result += two(now.hour)
            case "M": result += two(now.minute)
            case "S": result += two(now.second)
            case "B": result += month
            case "b": result += String(month.prefix(3))
            case "A": result += day
            case "a": result += String(day.prefix(3))
            case "%": result += "%"
            default: result += "%\(letter)"
            }
        }
        return result
    }
}
