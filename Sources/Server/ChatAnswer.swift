internal import Answers
internal import Generation
internal import JSONTree
internal import OpenAIWire

/// How a chat's answers are read: what is found in their text, and how that is shown.
struct AnswerReading: Sendable {
    /// At an answer's beginning.
    var parser: AnswerParser
    /// Whether thoughts are left out.
    var hidesThoughts = false
    /// Whether an answer ends with its first call.
    var isSingle = false
    /// Whether the request names the tool that is called: OpenAI's answer ends with `stop` then.
    var isNamed = false
    /// Calls get their ids by it.
    let seed = UInt64.random(in: .min ... .max)
}

/// An answer as it is read, piece by piece.
struct ChatAnswer: Sendable {
    private let reading: AnswerReading?
    private let index: Int
    private var parser: AnswerParser?
    private(set) var callCount = 0
    /// Tokens of thoughts.
    private(set) var thoughtTokenCount = 0
    private(set) var text = ""
    private(set) var thoughts = ""
    private(set) var calls: [JSON] = []

    /// - Parameter index: of the choice.
    init(_ reading: AnswerReading?, index: Int) {
        self.reading = reading
        self.index = index
        parser = reading?.parser
    }

    /// Whether nothing more is wanted.
    var isComplete: Bool { callCount > 0 && reading?.isSingle == true }

    /// Takes a piece in.
    ///
    /// - Returns: deltas of the answer's message, in order.
    mutating func add(_ piece: Completion.Piece) -> [JSON] {
        guard parser != nil, let reading else {
            text += piece.text
            return piece.text.isEmpty ? [] : [["content": .string(piece.text)]]
        }
        if parser?.isThinking == true { thoughtTokenCount += piece.tokens.count }
        var parts = parser?.append(piece.text) ?? []
        if let finish = piece.finish { parts += parser?.finish(isCut: finish == .length) ?? [] }
        var deltas: [JSON] = []
        for part in parts where !isComplete {
            switch part {
            case .text(let text):
                self.text += text
                deltas.append(["content": .string(text)])
            case .thought(let text):
                guard !reading.hidesThoughts else { continue }
                thoughts += text
                deltas.append(["reasoning_content": .string(text)])
            case .call(let name, let arguments):
                deltas += add(name, arguments, reading)
            }
        }
        return deltas
    }

    private mutating func add(
        _ name: String, _ arguments: String, _ reading: AnswerReading
    ) -> [JSON] {
        let id = ChatAnswer.callID("\(reading.seed) \(index) \(callCount)")
        func call(_ arguments: String) -> JSON {
            [
                "id": .string(id), "type": "function",
                "function": ["name": .string(name), "arguments": .string(arguments)],
            ]
        }
        calls.append(call(arguments))
        let number = JSON.integer(callCount)
        callCount += 1
        // The name first and at once, then the arguments: what every client understands.
        guard case .object(var first) = call("") else { return [] }
        first["index"] = number
        let rest: JSON = [
            "index": number, "type": "function", "function": ["arguments": .string(arguments)],
        ]
        return [["tool_calls": [.object(first)]], ["tool_calls": [rest]]]
    }

    /// Nine letters and digits, as Mistral's templates want it of whoever sends a call back.
    private static func callID(_ text: String) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
        var id = ""
        for _ in 0..<9 {
            id.append(digits[Int(hash % 62)])
            hash /= 62
        }
        return id
    }

    /// The whole message.
    var message: JSON {
        var message = JSON.Object([
            ("role", "assistant"),
            ("content", text.isEmpty && callCount > 0 ? .null : .string(text)), ("refusal", .null),
        ])
        if !thoughts.isEmpty { message["reasoning_content"] = .string(thoughts) }
        if !calls.isEmpty { message["tool_calls"] = .array(calls) }
        return .object(message)
    }

    /// Why it ended, as OpenAI says it.
    func reason(_ finish: Completion.Finish) -> JSON {
        guard finish != .length else { return "length" }
        return callCount > 0 && reading?.isNamed != true ? "tool_calls" : "stop"
    }
}
