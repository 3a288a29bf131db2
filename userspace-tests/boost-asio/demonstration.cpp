// A program on Boost.Asio, as it comes from the distribution: its reactor is epoll (edge-triggered, added once for each
// descriptor), an eventfd that interrupts it and a timerfd. Two threads run one io_context. What it prints must be the same on
// Linux and in Vigil.

#include <boost/asio.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Ends the program where something does not hold.
static void check(bool holds, const char *what) {
    if (!holds) {
        std::printf("FAILED: %s\n", what);
        std::fflush(stdout);
        std::_Exit(1);
    }
}

// Runs the context on two threads until nothing is left to do.
static void run(asio::io_context &context) {
    std::thread other([&] { context.run(); });
    context.run();
    other.join();
    context.restart();
}

// One side of an echo: reads what comes and writes it back until the end.
template <typename Socket> struct Echo : std::enable_shared_from_this<Echo<Socket>> {
    Socket socket;
    std::array<char, 4096> buffer;

    explicit Echo(Socket socket) : socket(std::move(socket)) {}

    void go() {
        auto self = this->shared_from_this();
        socket.async_read_some(asio::buffer(buffer), [self](error_code error, std::size_t count) {
            if (error) {
                check(error == asio::error::eof, "the end is an end of file");
                return;
            }
            asio::async_write(self->socket, asio::buffer(self->buffer, count), [self](error_code error, std::size_t) {
                check(!error, "an echo is written");
                self->go();
            });
        });
    }
};

// The other side: sends, reads as much back, compares, `rounds` times.
template <typename Socket> struct Client : std::enable_shared_from_this<Client<Socket>> {
    Socket socket;
    std::vector<char> sent, received;
    int rounds;
    std::atomic<long> &bytes;

    Client(Socket socket, std::size_t size, int rounds, std::atomic<long> &bytes)
        : socket(std::move(socket)), sent(size), received(size), rounds(rounds), bytes(bytes) {}

    void go() {
        if (rounds-- == 0) {
            socket.close();
            return;
        }
        for (std::size_t at = 0; at < sent.size(); ++at) sent[at] = char(at * 7 + rounds);
        auto self = this->shared_from_this();
        asio::async_write(socket, asio::buffer(sent), [self](error_code error, std::size_t) {
            check(!error, "a client writes");
        });
        asio::async_read(socket, asio::buffer(received), [self](error_code error, std::size_t count) {
            check(!error && self->received == self->sent, "a client reads its own");
            self->bytes += long(count);
            self->go();
        });
    }
};

static void echo_over_tcp() {
    constexpr int clients = 8;
    asio::io_context context;
    tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
    std::atomic<long> bytes{0};
    int accepted = 0;
    std::function<void()> accept = [&] {
        acceptor.async_accept([&](error_code error, tcp::socket socket) {
            check(!error, "a connection is accepted");
            std::make_shared<Echo<tcp::socket>>(std::move(socket))->go();
            if (++accepted < clients) accept();
        });
    };
    accept();
    for (int number = 0; number < clients; ++number) {
        auto client = std::make_shared<Client<tcp::socket>>(tcp::socket(context), 1000 * (number + 1), 50, bytes);
        client->socket.async_connect(acceptor.local_endpoint(), [client](error_code error) {
            check(!error, "a client connects");
            client->socket.set_option(tcp::no_delay(true));
            client->go();
        });
    }
    run(context);
    std::printf("tcp: %d clients, %ld bytes came back\n", accepted, bytes.load());
}

static void echo_over_unix_sockets() {
    using asio::local::stream_protocol;
    asio::io_context context;
    std::atomic<long> bytes{0};
    for (int number = 0; number < 4; ++number) {
        stream_protocol::socket near(context), far(context);
        asio::local::connect_pair(near, far);
        std::make_shared<Echo<stream_protocol::socket>>(std::move(far))->go();
        std::make_shared<Client<stream_protocol::socket>>(std::move(near), 100'000, 10, bytes)->go();
    }
    run(context);
    std::printf("unix: %ld bytes came back\n", bytes.load());
}

static void timers() {
    using clock = std::chrono::steady_clock;
    asio::io_context context;
    asio::steady_timer tick(context), forever(context);
    auto next = clock::now();
    int ticks = 0;
    std::function<void()> wait = [&] {
        next += std::chrono::milliseconds(5);
        tick.expires_at(next);
        tick.async_wait([&](error_code error) {
            check(!error && clock::now() >= next, "a tick is not early");
            if (++ticks < 10) wait();
            else forever.cancel();
        });
    };
    wait();
    bool cancelled = false;
    forever.expires_after(std::chrono::hours(24));
    forever.async_wait([&](error_code error) { cancelled = error == asio::error::operation_aborted; });
    run(context);
    std::printf("timers: %d ticks of 5 ms, none early; the long one was %s\n", ticks, cancelled ? "cancelled" : "lost");
}

static void posts_and_strands() {
    asio::io_context context;
    auto guard = asio::make_work_guard(context);
    auto strand = asio::make_strand(context);
    std::thread worker([&] { context.run(); });
    std::thread other([&] { context.run(); });
    long sum = 0; // only the strand touches it
    std::atomic<int> left{10'000};
    for (int number = 0; number < 10'000; ++number)
        asio::post(context, [&, number] {
            asio::post(strand, [&, number] {
                sum += number;
                if (--left == 0) guard.reset();
            });
        });
    worker.join();
    other.join();
    std::printf("strand: the sum is %ld\n", sum);
}

static void signals_and_descriptors() {
    asio::io_context context;
    asio::signal_set signals(context, SIGUSR1);
    int number = 0;
    signals.async_wait([&](error_code error, int signal) {
        check(!error, "a signal comes");
        number = signal;
    });
    int ends[2];
    check(::pipe(ends) == 0, "a pipe");
    asio::posix::stream_descriptor reader(context, ends[0]), writer(context, ends[1]);
    std::string text;
    asio::async_read_until(reader, asio::dynamic_buffer(text), '\n', [&](error_code error, std::size_t) {
        check(!error, "a line comes");
        ::raise(SIGUSR1);
    });
    asio::steady_timer later(context, std::chrono::milliseconds(2));
    later.async_wait([&](error_code) { asio::write(writer, asio::buffer("a line\n", 7)); });
    run(context);
    std::printf("signal %d, after %s", number, text.c_str());
}

int main() {
    echo_over_tcp();
    echo_over_unix_sockets();
    timers();
    posts_and_strands();
    signals_and_descriptors();
    std::printf("asio: all parts done\n");
}
