import JSONTree
import Logging
import Telemetry
import Testing

/// Lines that programs read: whatever a value holds, it stays one value.
struct LineLogHandlerTests {
    private static let pairs = [
        ("adapter", "a\" level=error forged=\"yes"), ("tenant", "line\nbreak"), ("plain", "x-1"),
        ("level", "other"),
    ]

    @Test func aValueCannotPretendToBeAnotherPair() {
        let line = LineLogHandler.line(
            .text, time: "T", level: .info, message: "one\ntwo", Self.pairs)
        #expect(
            line
                == "T info one two adapter=\"a\\\" level=error forged=\\\"yes\" tenant=\"line break\" plain=x-1 level=other\n"
        )
    }

    @Test func aLineOfJSONIsAnObject() throws {
        let line = LineLogHandler.line(
            .json, time: "T", level: .warning, message: "one\ntwo", Self.pairs)
        #expect(line.split(separator: "\n").count == 1 && line.hasSuffix("\n"))
        let json = try JSON(parsing: Array(line.utf8))
        #expect(json["message"]?.stringValue == "one\ntwo")
        #expect(json["adapter"]?.stringValue == Self.pairs[0].1)
        // The line's own fields win.
        #expect(json["level"]?.stringValue == "warning")
    }
}
