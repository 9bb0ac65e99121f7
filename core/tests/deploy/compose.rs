//! docker-compose.yml and its two companions, the Dockerfile and .env.example: they agree with each other and with the program.
//!
//! `model` reads the files as Compose does (variables, profiles, health); each other file asks one kind of question.

mod image;
mod manual;
mod model;
mod neighbours;
mod program;
mod safety;
mod variables;
