"""The five services: rendering their files and converging them."""
