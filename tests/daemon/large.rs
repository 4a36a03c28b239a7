//! A key of Consul with a value of 5 MiB that no file of variables would like: quotes, line ends, `${`. Consul's place is
//! taken by a server of the test, because Consul itself limits values to 512 KiB unless told otherwise.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use md5::Digest as _;

use super::agent::Place;

const SIZE: usize = 5 << 20;

const MODULE: &str = r#"variable "services" {}
variable "consul_kv" {}
variable "out" {}
resource "terraform_data" "x" {
  triggers_replace = md5(var.consul_kv["big"])
  provisioner "local-exec" {
    command = "echo ${length(var.consul_kv["big"])} ${md5(var.consul_kv["big"])} > ${var.out}"
  }
}
"#;

#[test]
fn a_value_of_five_mebibytes_reaches_the_module_as_it_is() {
    let piece = "say \"${file(\"/etc/passwd\")}\" %{ if true }\\ \\n $${x}\n\t# end */ <<EOF\n";
    // Terraform takes minutes to read megabytes of escapes; two pieces prove as much.
    let value = [piece, &"x".repeat(SIZE), piece].concat();
    let addr = consul(value.clone());
    let place = Place::new();
    place.file("module/main.tf", MODULE);
    let out = place.path("out");
    let agent = place.start(&format!(
        "consul {{\n  address = \"{addr}\"\n  service_registration {{ enabled = false }}\n}}\ntask {{\n  name = \"big\"\n  \
         module = \"./module\"\n  variables = {{ out = \"\\\"{}\\\"\" }}\n  condition \"consul-kv\" {{ path = \"big\" \
         }}\n}}\ndriver \"terraform\" {{\n  backend \"local\" {{}}\n}}\n",
        out.display()
    ));
    let event = agent.event("big");
    assert_eq!(event["success"], true, "{event}");
    let digest = md5::Md5::digest(value.as_bytes());
    let digest = digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let characters = value.chars().count();
    assert_eq!(std::fs::read_to_string(out).unwrap(), format!("{characters} {digest}\n"));
}

/// Answers for one key for as long as the test runs.
fn consul(value: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let encoded = base64::engine::general_purpose::STANDARD.encode(value);
    let body = Arc::new(format!(
        "[{{\"Key\":\"big\",\"Value\":\"{encoded}\",\"Flags\":0,\"LockIndex\":0,\"CreateIndex\":7,\"ModifyIndex\":7}}]"
    ));
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let body = Arc::clone(&body);
            std::thread::spawn(move || drop(serve(&connection, &body)));
        }
    });
    addr
}

fn serve(connection: &TcpStream, body: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection).lines();
    loop {
        let Some(first) = lines.next().transpose()? else { return Ok(()) };
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        let key = first.contains("/v1/kv/big");
        if key && first.contains("index=7") {
            // Nothing changes.
            std::thread::sleep(Duration::from_secs(30));
        }
        let answer = if key { body } else { "\"127.0.0.1:8300\"" };
        let mut connection = connection;
        write!(
            connection,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Consul-Index: 7\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
    }
}
