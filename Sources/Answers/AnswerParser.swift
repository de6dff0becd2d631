public import JSONTree

/// A part of an answer.
public enum AnswerPart: Sendable, Equatable {
    case text(String)
    case thought(String)
    /// - Parameter arguments: a JSON object, as the model wrote it where it wrote JSON.
    case call(name: String, arguments: String)
}

/// Reads an answer as it comes: thoughts, text and tool calls.
///
/// What comes of it depends on the text alone, not on how it is cut. Nothing is lost: what looks like a call and is none, or
/// is cut off, is text. White space around calls and thoughts is the format's and not shown.
public struct AnswerParser: Sendable {
    /// What is in front.
    private enum Place {
        /// Thoughts may begin.
        case beginning
        case thoughts
        case text
        /// What triggers a call is in front of what waits.
        case call
    }

    private var format: AnswerFormat
    private let tools: Tools
    private var triggers: [[UInt8]]
    private var place: Place
    /// What was not told yet.
    private var waiting: [UInt8] = []
    /// White space behind what was told, of which the next part decides.
    private var space: [UInt8] = []
    /// Thoughts, or the text, have not begun: leading white space is left out behind thoughts and calls.
    private var isAtStart = true
    private var hasThoughts = false
    /// Whether thoughts may begin once more where they have just begun.
    private var mayBeginAgain = true
    private var hasText = false
    public private(set) var callCount = 0
    private var reader: CallReader?
    /// Texts that looked like calls and were none; beyond some, calls are not looked for.
    private var failureCount = 0
    private static let mostFailures = 200
    /// What thoughts may end with to be looked at for calls.
    private static let mostHeldBytes = 1 << 16

    /// - Parameters:
    ///   - tools: as the request lists them; nil when calls are not looked for.
    ///   - prompt: the end of the prompt's text, which may have opened the thoughts already.
    public init(_ format: AnswerFormat, tools: JSON?, prompt: String) {
        var format = format
        if tools == nil { format.calls = nil }
        self.format = format
        self.tools = Tools(tools)
        triggers = (format.calls?.triggers ?? []).map { Array($0.utf8) }
        place = format.thoughts == nil ? .text : .beginning
        if let thoughts = format.thoughts, Self.isOpen(prompt, thoughts) {
            place = .thoughts
            hasThoughts = true
        }
    }

    /// Whether a prompt ends inside of thoughts.
    public static func isOpen(_ prompt: String, _ format: ThoughtFormat) -> Bool {
        ends(prompt, with: format.begin)
    }

    /// Whether a prompt ends behind thoughts, as templates have it that turn them off.
    public static func isClosed(_ prompt: String, _ format: ThoughtFormat) -> Bool {
        ends(prompt, with: format.end)
    }

    private static func ends(_ prompt: String, with marker: String) -> Bool {
        var end = Array(prompt.utf8.suffix(64))
        while let last = end.last, last.isSpace { end.removeLast() }
        return end.suffix(marker.utf8.count).elementsEqual(marker.utf8)
    }

    /// Whether what comes now is thought.
    public var isThinking: Bool { place == .thoughts }

    public mutating func append(_ text: String) -> [AnswerPart] {
        waiting += text.utf8
        return advance(isEnd: false)
    }

    /// The rest, when nothing follows.
    ///
    /// - Parameter isCut: whether the answer was cut off: what is not closed is then no call.
    public mutating func finish(isCut: Bool) -> [AnswerPart] {
        var parts = advance(isEnd: !isCut)
        switch place {
        case .beginning, .text, .call:
            if place == .beginning { place = .text }
            var rest = waiting
            waiting = []
            if isAtStart, callCount > 0, format.calls?.leading != nil {
                rest = Array(rest.drop { $0.isSpace || $0 == 0x3B })
            }
            tell(rest, &parts)
            // Behind calls there is nothing to say with white space.
            if callCount == 0, !(isAtStart && hasThoughts), !space.isEmpty {
                parts.append(.text(String(decoding: space, as: UTF8.self)))
            }
        case .thoughts:
            tell(waiting, &parts)
            waiting = []
        }
        return parts.merged
    }

    // MARK: Parts

    private mutating func advance(isEnd: Bool) -> [AnswerPart] {
        var parts: [AnswerPart] = []
        var goesOn = true
        while goesOn {
            switch place {
            case .beginning: goesOn = begin()
            case .thoughts: goesOn = think(isEnd: isEnd, &parts)
            case .text: goesOn = speak(&parts)
            case .call: goesOn = call(isEnd: isEnd, &parts)
            }
        }
        return parts.merged
    }

    /// - Returns: whether it is known what is in front.
    private mutating func begin() -> Bool {
        guard let thoughts = format.thoughts else {
            place = .text
            return true
        }
        let begin = Array(thoughts.begin.utf8)
        let start = waiting.firstIndex { !$0.isSpace } ?? waiting.count
        let front = waiting[start...].prefix(begin.count)
        guard front.count == begin.count || !begin.starts(with: front) else { return false }
        if front.elementsEqual(begin) {
            waiting.removeFirst(start + begin.count)
            place = .thoughts
            hasThoughts = true
        } else {
            place = .text
        }
        return true
    }

    private mutating func think(isEnd: Bool, _ parts: inout [AnswerPart]) -> Bool {
        guard let thoughts = format.thoughts else { return false }
        if mayBeginAgain {
            // A model may begin again what its prompt has begun.
            let begin = Array(thoughts.begin.utf8)
            let start = waiting.firstIndex { !$0.isSpace } ?? waiting.count
            let front = waiting[start...].prefix(begin.count)
            if front.elementsEqual(begin) {
                waiting.removeFirst(start + begin.count)
            } else if begin.starts(with: front) {
                return false
            }
            mayBeginAgain = false
        }
        let end = Array(thoughts.end.utf8)
        guard let found = waiting.first(of: [end]) else {
            while true {
                let found = waiting.first(of: triggers)
                let sure = Array(
                    found.map { waiting[..<$0.place] }
                        ?? waiting.dropLast(waiting.openCount(of: triggers + [end])))
                waiting.removeFirst(sure.count)
                tell(sure, &parts)
                guard let found else { return false }
                let calls = lastCalls(isEnd: isEnd)
                if let calls, !isEnd || calls.isEmpty { return false }
                if let calls {
                    waiting = []
                    place = .text
                    note(calls, &parts)
                    return true
                }
                // It is no call, or thoughts go on behind it.
                let trigger = triggers[found.text]
                waiting.removeFirst(trigger.count)
                tell(trigger, &parts)
                failureCount += 1
                if failureCount == Self.mostFailures { triggers = [] }
            }
        }
        tell(Array(waiting[..<found.place]), &parts)
        waiting.removeFirst(found.place + end.count)
        space = []
        isAtStart = true
        place = .text
        return true
    }

    private mutating func speak(_ parts: inout [AnswerPart]) -> Bool {
        guard let calls = format.calls else {
            let all = waiting
            waiting = []
            tell(all, &parts)
            return false
        }
        if isAtStart, let leading = calls.leading?.asciiValue {
            let start = waiting.firstIndex { !$0.isSpace && !(callCount > 0 && $0 == 0x3B) }
            guard let start else { return false }
            if waiting[start] == leading {
                // What stands before it is shown if it is no call.
                let before = waiting[..<start]
                let isFirst = !hasThoughts && callCount == 0
                space += isFirst ? before : before.drop { $0.isSpace }
                waiting.removeFirst(start)
                place = .call
                return true
            }
        }
        guard let found = waiting.first(of: triggers) else {
            let sure = Array(waiting.dropLast(waiting.openCount(of: triggers)))
            waiting.removeFirst(sure.count)
            tell(sure, &parts)
            return false
        }
        tell(Array(waiting[..<found.place]), &parts)
        waiting.removeFirst(found.place)
        place = .call
        return true
    }

    private mutating func call(isEnd: Bool, _ parts: inout [AnswerPart]) -> Bool {
        guard let format = format.calls else { return false }
        var reader = reader ?? CallReader(format, tools)
        switch reader.read(waiting, isEnd: isEnd) {
        case .incomplete:
            self.reader = reader
            return false
        case .calls(let calls, let count):
            waiting.removeFirst(count)
            note(calls, &parts)
        case .none:
            // What looked like a call is text, and what follows it may be one.
            let count = max(1, triggers.first { waiting.starts(with: $0) }?.count ?? 1)
            let front = Array(waiting[..<count])
            waiting.removeFirst(count)
            isAtStart = false
            tell(front, &parts)
            failureCount += 1
            if failureCount == Self.mostFailures { self.format.calls = nil }
        }
        self.reader = nil
        place = .text
        return true
    }

    private mutating func note(_ calls: [CallReader.Call], _ parts: inout [AnswerPart]) {
        parts += calls.map { .call(name: $0.name, arguments: $0.arguments) }
        callCount += calls.count
        // Between two texts it keeps them apart.
        if !hasText { space = [] }
        isAtStart = true
    }

    /// Calls with which an answer ends whose thoughts do not.
    ///
    /// - Returns: none while they are not complete, nil when what waits is something else.
    private func lastCalls(isEnd: Bool) -> [CallReader.Call]? {
        guard let format = format.calls, waiting.count < Self.mostHeldBytes else { return nil }
        var (calls, rest): ([CallReader.Call], [UInt8]) = ([], waiting)
        while let start = rest.firstIndex(where: { !$0.isSpace }) {
            rest.removeFirst(start)
            var reader = CallReader(format, tools)
            switch reader.read(rest, isEnd: isEnd) {
            case .incomplete: return []
            case .none: return nil
            case .calls(let more, let count):
                calls += more
                rest.removeFirst(count)
            }
        }
        return calls
    }

    /// Tells text or thoughts, but for the white space at its end.
    private mutating func tell(_ bytes: [UInt8], _ parts: inout [AnswerPart]) {
        var bytes = bytes[...]
        let isThought = place == .thoughts
        if isAtStart, isThought || hasThoughts || callCount > 0 {
            bytes = bytes.drop { $0.isSpace }
        }
        guard !bytes.isEmpty else { return }
        let plain = format.calls == nil && !isThought
        let end = plain ? bytes.endIndex : (bytes.lastIndex { !$0.isSpace }).map { $0 + 1 }
        guard let end else {
            space += bytes
            return
        }
        let text = String(decoding: space + bytes[..<end], as: UTF8.self)
        space = Array(bytes[end...])
        isAtStart = false
        if !isThought { hasText = true }
        parts.append(isThought ? .thought(text) : .text(text))
    }
}

extension UInt8 {
    /// Space, tab and line ends.
    var isSpace: Bool { self == 0x20 || (0x09...0x0D).contains(self) }
}

extension [UInt8] {
    /// The first of some texts, and where it begins.
    func first(of texts: [[UInt8]]) -> (place: Int, text: Int)? {
        for place in indices {
            for (index, text) in texts.enumerated()
            where self[place] == text[0] && self[place...].starts(with: text) {
                return (place, index)
            }
        }
        return nil
    }

    /// How many bytes at the end may yet become one of some texts.
    func openCount(of texts: [[UInt8]]) -> Int {
        let longest = texts.map(\.count).max() ?? 0
        for count in stride(from: Swift.min(longest - 1, self.count), to: 0, by: -1) {
            let end = suffix(count)
            if texts.contains(where: { $0.count > count && $0.starts(with: end) }) { return count }
        }
        return 0
    }
}

extension [AnswerPart] {
    /// With neighbours of one kind put together.
    var merged: [AnswerPart] {
        var result: [AnswerPart] = []
        for part in self {
            switch (result.last, part) {
            case (.text(let a)?, .text(let b)): result[result.count - 1] = .text(a + b)
            case (.thought(let a)?, .thought(let b)): result[result.count - 1] = .thought(a + b)
            default: result.append(part)
            }
        }
        return result
    }
}
