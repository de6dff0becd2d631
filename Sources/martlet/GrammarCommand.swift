import ArgumentParser
import Foundation
import Grammar
import JSONTree

/// What answers in a form can be, without a model.
struct GrammarCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "grammar",
        abstract: "Tells which schemas can be enforced, and what they let a model write.",
        subcommands: [Check.self])

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Checks a JSON Schema, and values against what it lets a model write.",
            discussion: """
                Prints one JSON object. "schema" is "ok", or "refused" with the code, the message, and where and what \
                in the schema cannot be enforced; "instances" says of each value whether a model held to the schema could \
                write it. INSTANCES is a file with a list of values. The exit status is 0 when the schema is taken.

                Example:
                  martlet grammar check schema.json instances.json
                """)

        @Argument(help: "A file with a JSON Schema.")
        var schema: String

        @Argument(help: "A file with a list of JSON values.")
        var instances: String?

        func run() throws {
            let schema = try Check.read(schema)
            var values: [JSON]?
            if let instances {
                guard let list = try Check.read(instances).arrayValue else {
                    throw ValidationError("\(instances) is not a list of values.")
                }
                values = list
            }
            do throws(GrammarError) {
                print(try Check.answer(schema, values).text())
            } catch {
                let refusal: JSON = [
                    "schema": "refused", "code": .string(error.code.rawValue),
                    "message": .string(error.message),
                    "pointer": error.pointer.map { .string($0) } ?? .null,
                    "keyword": error.keyword.map { .string($0) } ?? .null,
                ]
                print(refusal.text())
                throw ExitCode(1)
            }
        }

        private static func answer(_ schema: JSON, _ values: [JSON]?) throws(GrammarError) -> JSON {
            var checker = try SchemaChecker(schema)
            guard let values else { return ["schema": "ok"] }
            var results: [JSON] = []
            for value in values { results.append(.bool(try checker.accepts(value))) }
            return ["schema": "ok", "instances": .array(results)]
        }

        private static func read(_ path: String) throws -> JSON {
            let bytes: Data
            do {
                bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            } catch {
                throw ValidationError("\(path) cannot be read.")
            }
            do {
                return try JSON(parsing: Array(bytes))
            } catch {
                throw ValidationError("\(path) is not JSON: \(error).")
            }
        }
    }
}
