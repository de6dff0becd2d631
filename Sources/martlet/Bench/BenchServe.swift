import ArgumentParser
import AsyncHTTPClient
import Foundation
import JSONTree
import LoadGenerator

struct BenchServe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Puts a multi-adapter load on a server, or on two in turn.",
        discussion: """
            Works with every server that speaks OpenAI's completions and lists its adapters in \
            /v1/models, and with llama.cpp's (--style llamacpp). With --compare both servers get the \
            same requests in turn, A B A B, and the table ends with their ratio.

            Examples:
              martlet bench serve --url http://localhost:8080 --assign distinct --clients 16
              martlet bench serve --url http://localhost:8080 --assign power --alpha 0.3 --rate 4 --variation 2
              martlet bench serve --url http://localhost:8080 --compare http://localhost:8090 --compare-style llamacpp
            """)

    enum Assignment: String, ExpressibleByArgument, CaseIterable {
        case base, same, distinct, uniform, power
    }

    @Option(help: "The server's address, without /v1.")
    var url = "http://localhost:8080"

    @Option(help: "How the server takes adapters: openai or llamacpp.")
    var style = LoadTarget.Style.openai

    @Option(help: "An API key.")
    var key: String?

    @Option(help: "A second server, measured in turn with the first.")
    var compare: String?

    @Option(help: "How the second server takes adapters.")
    var compareStyle = LoadTarget.Style.openai

    @Option(help: "Which adapter a request gets: base (none), same, distinct, uniform or power.")
    var assign = Assignment.distinct

    @Option(help: "For power: adapter floor(U^(1/alpha) · N).")
    var alpha = 0.3

    @Option(help: "Requests after which popularity moves on by one adapter; 0 for never.")
    var drift = 0

    @Option(help: "Use only the first so many adapters that the server has.")
    var adapters: Int?

    @Option(help: "Closed loop: clients that send one request after another.")
    var clients = 16

    @Option(help: "Open loop instead: requests a second.")
    var rate: Double?

    @Option(
        help:
            "For --rate: coefficient of variation of the gaps; 1 is Poisson, more comes in bursts.")
    var variation = 1.0

    @Option(help: "Requests of one run.")
    var requests = 32

    @Option(help: "Words of a prompt, a number or a range such as 16-512.")
    var promptWords = "110"

    @Option(help: "Tokens to generate, a number or a range.")
    var newTokens = "64"

    @Option(help: "Milliseconds to the first token that count as good.")
    var sloFirstToken: Double?

    @Option(help: "Mean milliseconds between tokens that count as good.")
    var sloBetweenTokens: Double?

    @Option(help: "Rounds on each server; each has other prompts.")
    var rounds = 3

    @Option(help: "Decides every request. (default: another one each time)")
    var seed: UInt64?

    @Option(help: ArgumentHelp("Also write the figures as JSON.", valueName: "file"))
    var json: String?

    func validate() throws {
        guard Workload.Length(promptWords) != nil, Workload.Length(newTokens) != nil else {
            throw ValidationError(
                "--prompt-words and --new-tokens want a number or a range such as 16-128.")
        }
        guard (1...4096).contains(clients), (1...1_000_000).contains(requests),
            (1...1000).contains(rounds),
            alpha > 0, alpha <= 100, variation >= 0, variation <= 100,
            rate.map({ $0 > 0 && $0 < 1e6 }) ?? true,
            drift >= 0, adapters.map({ $0 > 0 }) ?? true
        else {
            throw ValidationError(
                "--clients, --requests, --rounds, --alpha, --rate and --adapters must be above 0 and sensible."
            )
        }
    }

    func run() async throws {
        let client = LoadRun.makeClient()
        do {
            try await run(client)
            try await client.shutdown()
        } catch {
            try? await client.shutdown()
            throw error
        }
    }

    private func run(_ client: HTTPClient) async throws {
        var targets = [try await target(url, style, client)]
        if let compare { targets.append(try await target(compare, compareStyle, client)) }
        var workload = Workload()
        workload.requestCount = requests
        workload.arrivals =
            rate.map { .open(rate: $0, variation: variation) } ?? .closed(clients: clients)
        workload.adapterCount = max(1, targets.map(\.adapters.count).min() ?? 1)
        workload.drift = drift
        workload.promptWords = Workload.Length(promptWords) ?? workload.promptWords
        workload.newTokens = Workload.Length(newTokens) ?? workload.newTokens
        workload.popularity =
            switch assign {
            case .base: .base
            case .same: .same
            case .distinct: .distinct
            case .uniform: .uniform
            case .power: .power(alpha: alpha)
            }
        guard assign == .base || targets.allSatisfy({ !$0.adapters.isEmpty }) else {
            throw ValidationError("A server has no adapters; load some, or give --assign base.")
        }
        var objective = ServiceObjective()
        objective.firstToken = sloFirstToken.map { $0 / 1000 }
        objective.betweenTokens = sloBetweenTokens.map { $0 / 1000 }

        let first = seed ?? UInt64.random(in: 0..<1_000_000)
        let progress = Progress()
        var reports: [[LoadReport]] = targets.map { _ in [] }
        for round in 0..<rounds {
            workload.seed = first + UInt64(round)
            for (index, target) in targets.enumerated() {
                let (total, label) = (requests, "round \(round + 1) of \(rounds), \(target.url)")
                reports[index].append(
                    await LoadRun.run(workload, on: target, client: client, objective: objective) {
                        progress.show(label, Double($0) / Double(total))
                    })
            }
        }
        progress.finish()
        print(text(targets, reports, seed: first))
        if let json {
            try Data(document(targets, reports).text().utf8).write(to: URL(fileURLWithPath: json))
        }
        guard reports.joined().allSatisfy({ $0.failed == 0 }) else {
            for failure in Set(reports.joined().flatMap(\.failures)).sorted().prefix(5) {
                print("failed: \(failure)")
            }
            throw ExitCode(1)
        }
    }

    private func target(_ url: String, _ style: LoadTarget.Style, _ client: HTTPClient) async throws
        -> LoadTarget
    {
        do {
            var target = try await LoadTarget(url: url, style: style, key: key, client: client)
            if let adapters { target.adapters = Array(target.adapters.prefix(adapters)) }
            return target
        } catch {
            throw ValidationError("No answer from \(url): \(error)")
        }
    }

    // MARK: Output

    private func text(_ targets: [LoadTarget], _ reports: [[LoadReport]], seed: UInt64) -> String {
        var table = TextTable([
            "server", "round", "tok/s", "first token p50", "p99", "between p50", "p99", "end p50",
            "goodput", "failed",
        ])
        func milliseconds(_ seconds: Double) -> String { String(format: "%.0f ms", seconds * 1000) }
        for round in 0..<rounds {
            for (target, own) in zip(targets, reports) {
                let report = own[round]
                table.add([
                    target.url, "\(round + 1)", String(format: "%.1f", report.tokensPerSecond),
                    milliseconds(report.firstToken.p50), milliseconds(report.firstToken.p99),
                    milliseconds(report.betweenTokens.p50), milliseconds(report.betweenTokens.p99),
                    milliseconds(report.endToEnd.p50), String(format: "%.2f/s", report.goodput),
                    "\(report.failed)",
                ])
            }
        }
        let medians = reports.map { own in own.map(\.tokensPerSecond).sorted()[own.count / 2] }
        var lines = [
            "\(assign.rawValue), \(targets[0].adapters.count) adapters, \(rate.map { "\($0) requests/s" } ?? "\(clients) clients"), "
                + "\(requests) requests of \(promptWords) words and \(newTokens) tokens, seed \(seed)",
            "", table.text, "",
            "median: "
                + zip(targets, medians).map { String(format: "%@ %.1f tok/s", $0.url, $1) }.joined(
                    separator: ", "),
        ]
        if targets.count == 2 {
            let ratios = zip(reports[0], reports[1]).map { $0.tokensPerSecond / $1.tokensPerSecond }
                .sorted()
            lines.append(
                String(
                    format: "ratio: median %.2f, from %.2f to %.2f", ratios[ratios.count / 2],
                    ratios[0],
                    ratios[ratios.count - 1]))
        }
        return lines.joined(separator: "\n")
    }

    private func document(_ targets: [LoadTarget], _ reports: [[LoadReport]]) -> JSON {
        .array(
            zip(targets, reports).map { target, own in
                .object(
                    JSON.Object([
                        ("url", .string(target.url)), ("style", .string(target.style.rawValue)),
                        ("rounds", .array(own.map(\.json))),
                    ]))
            })
    }
}

extension LoadTarget.Style: ExpressibleByArgument {}
