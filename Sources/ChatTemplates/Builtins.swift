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
                    for (key, value) in try members(arguments, &interpreter).members {
                        guard case .string(let name) = key, !name.hasPrefix("_") else {
                            throw interpreter.fail("\(key.text) is no name for an attribute")
                        }
                        namespace[name] = value
                    }
                    return .namespace(namespace)
                })
        case "dict":
            return .function(
                Value.Function(name: name) { (interpreter, arguments) throws(TemplateError) in
                    .dictionary(try members(arguments, &interpreter))
                })
        case "cycler", "joiner", "lipsum":
            return .function(
                Value.Function(name: name) { (interpreter, _) throws(TemplateError) in
                    throw interpreter.fail("\(name) is not supported")
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
                    return .sequence(
                        Value.Sequence(
                            .range(start: start, stop: stop, step: step),
                            stride(from: start, to: stop, by: step).map { .integer($0) }))
                })
        case "strftime_now":
            return .function(
                Value.Function(name: name) { (interpreter, arguments) throws(TemplateError) in
                    let format = arguments.value(0, "format") ?? .string("")
                    return .string(
                        try formatted(try interpreter.text(of: format), interpreter))
                })
        default: return nil
        }
    }

    /// Python's `dict`: of a mapping or of pairs, with more members by their names.
    private static func members(
        _ arguments: CallArguments, _ interpreter: inout Interpreter
    ) throws(TemplateError) -> Value.Dictionary {
        guard arguments.positional.count <= 1 else { throw interpreter.fail("too many arguments") }
        for (_, value) in arguments.named where value.isContainer {
            try interpreter.weigh(.list([value]))
        }
        var result = Value.Dictionary()
        switch arguments.positional.first {
        case nil: break
        case .dictionary(let dictionary)?: result = dictionary
        case let value?:
            guard !value.isUndefined, let pairs = value.elements else {
                throw interpreter.fail("cannot make a mapping of \(value.kind)")
            }
            for pair in pairs {
                guard let parts = pair.elements, parts.count == 2, parts[0].isHashable else {
                    throw interpreter.fail("a mapping is made of pairs")
                }
                try interpreter.spend(1 + result.scanCount(for: parts[0]))
                result[parts[0]] = parts[1]
            }
        }
        for (name, value) in arguments.named { result[.string(name)] = value }
        return result
    }

    /// The local time by the letters of `strftime`; with `-` before a letter a number has no zeros before
    /// it.
    private static func formatted(
        _ format: String, _ interpreter: Interpreter
    ) throws(TemplateError) -> String {
        let now = Calendar.current.dateComponents(
            [.year, .month, .day, .hour, .minute, .second, .weekday, .dayOfYear], from: Date())
        let months = [
            "January", "February", "March", "April", "May", "June", "July", "August", "September",
            "October", "November", "December",
        ]
        let days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
        let (hour, weekday) = (now.hour ?? 0, (now.weekday ?? 1) - 1)
        let month = months[(now.month ?? 1) - 1]
        func padded(_ number: Int?, _ count: Int = 2, _ filler: String = "0") -> String {
            let text = String(number ?? 0)
            return String(repeating: filler, count: max(0, count - text.count)) + text
        }
        var result = ""
        var scalars = format.unicodeScalars[...]
        while let scalar = scalars.popFirst() {
            guard scalar == "%", var letter = scalars.popFirst() else {
                result.unicodeScalars.append(scalar)
                continue
            }
            let isBare = letter == "-"
            if isBare, let next = scalars.popFirst() { letter = next }
            let width = isBare ? 1 : 2
            switch letter {
            case "Y": result += "\(now.year ?? 0)"
            case "y": result += padded((now.year ?? 0) % 100, width)
            case "m": result += padded(now.month, width)
            case "d": result += padded(now.day, width)
            case "e": result += padded(now.day, width, " ")
            case "H": result += padded(hour, width)
            case "I": result += padded((hour + 11) % 12 + 1, width)
            case "M": result += padded(now.minute, width)
            case "S": result += padded(now.second, width)
            case "j": result += padded(now.dayOfYear, isBare ? 1 : 3)
            case "p": result += hour < 12 ? "AM" : "PM"
            case "B": result += month
            case "b", "h": result += String(month.prefix(3))
            case "A": result += days[weekday]
            case "a": result += String(days[weekday].prefix(3))
            case "w": result += "\(weekday)"
            case "u": result += "\(weekday == 0 ? 7 : weekday)"
            case "F": result += try formatted("%Y-%m-%d", interpreter)
            case "T": result += try formatted("%H:%M:%S", interpreter)
            case "R": result += try formatted("%H:%M", interpreter)
            case "D": result += try formatted("%m/%d/%y", interpreter)
            case "n": result += "\n"
            case "t": result += "\t"
            case "%": result += "%"
            default: throw interpreter.fail("strftime's %\(letter) is not supported")
            }
        }
        return result
    }
}
